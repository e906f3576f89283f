/* The classifier that comes with the library: fashion-mnist.safetensors, whose bytes are in here so
 * that programs find it wherever they run. Made by `ito-classifier train`. */
#include "models/classifier/classifier.h"
#include "tensor/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const unsigned char weights[] = {
#include "classifier_weights.inc"
};

/* A file in memory that holds the weights, or -1. */
static int open_weights(void)
{
    int fd = memfd_create("fashion-mnist", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < sizeof weights) {
        ssize_t n = write(fd, weights + done, sizeof weights - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

ito_classifier *ito_classifier_fashion_mnist(void)
{
    char path[64];
    int fd = open_weights();
    if (fd < 0)
        return error_null(ITO_ERR_IO, "classifier: the system gives no memory file: %s",
                          strerror(errno));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ito_classifier *c = ito_classifier_create(1, 10);
    if (c != NULL && ito_module_load(&c->base, path, .partial = false) != ITO_OK) {
        ito_module_free(&c->base);
        c = NULL;
    }
    if (c != NULL)
        ito_module_train(&c->base, false);
    close(fd);
    return c;
}
