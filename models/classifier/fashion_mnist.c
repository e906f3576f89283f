/* The classifier that comes with the library: fashion-mnist.safetensors, embedded so that programs
 * need not find a file. `ito-classifier train` made it. */
#include "models/classifier/classifier.h"
#include "tensor/internal.h"

#include "classifier_weights.h"

ito_classifier *ito_classifier_fashion_mnist(void)
{
    ito_safetensors *file = ito_safetensors_open_memory(
        classifier_weights, classifier_weights_size(), "the built-in classifier");
    ito_classifier *c = file != NULL ? ito_classifier_create(1, 10) : NULL;
    if (c != NULL && ito_module_load_file(&c->base, file) != ITO_OK) {
        ito_module_free(&c->base);
        c = NULL;
    }
    if (c != NULL)
        ito_module_train(&c->base, false);
    ito_safetensors_close(file);
    return c;
}
