/* CIFAR-10 in its binary version: a label byte and 3072 bytes of a 32x32 image a record. */
#ifndef ITO_IO_CIFAR_H
#define ITO_IO_CIFAR_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Read the training set (data_batch_1.bin to data_batch_5.bin) or the test set (test_batch.bin).
 *
 * @param dir     the directory that holds these files, or that holds cifar-10-batches-bin with
 * them.
 * @param train   which set.
 * @param images  receives u8 [N, 3, 32, 32], channels R G B; owned by the current scope.
 * @param labels  receives i64 [N], 0 to 9; owned by the current scope.
 * @return        ITO_ERR_IO if a file cannot be read, ITO_ERR_FORMAT if one is no whole number of
 *                records or holds a label above 9, ITO_ERR_MEMORY. Outputs are set only on success.
 * Source: A. Krizhevsky, "The CIFAR-10 dataset", "Binary version".
 */
ITO_API ito_status ito_cifar10_load(const char *dir, bool train, ito_tensor **images,
                                    ito_tensor **labels);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_cifar10_load(...) ITO_AT(ito_cifar10_load(__VA_ARGS__))
#endif

#endif
