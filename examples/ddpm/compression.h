/* The network that both compress and decompress evaluate. */
#ifndef ITO_DDPM_COMPRESSION_H
#define ITO_DDPM_COMPRESSION_H

#include "examples/ddpm/inference.h"

/* Rows; AT(field) is of the command's options. */
#define CODER_MODEL_ROWS                                                                           \
    MODEL_ROW, WEIGHTS_ROW,                                                                        \
        VARIANCE_ROW("Of a step, the same both ways (as the run was trained with); fixedsmall "    \
                     "makes the smaller files")
#define CODER_MACHINE_ROWS                                                                         \
    INT_ROW("batch", batch, "N", 1, 1e6, "16",                                                     \
            "Images that the network sees at once; changes nothing"),                              \
        THREADS_ROW, JSON_ROW, END_ROW

typedef struct coder_network {
    ito_network network; /* the network given to the coder; it evaluates some images at a time */
    inference net;
    int64_t batch;      /* images at once */
    ito_tensor *labels; /* [N] i64, as the network takes them; NULL: none */
    uint32_t checksum;  /* of the network; stored in the file */
} coder_network;

/* Open the network for these options. class is whether there will be labels. False with an error
 * recorded; closed in either case. */
bool coder_network_open(coder_network *c, inference_options o);
void coder_network_close(coder_network *c);

#endif
