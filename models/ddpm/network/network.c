/* Networks as objects. */
#include "models/ddpm/network/network.h"

#include "tensor/internal.h"

ito_tensor *ito_network_evaluate(ito_network *network, const ito_network_input *in)
{
    if (network == NULL || network->evaluate == NULL)
        return error_null(ITO_ERR_ARGUMENT, "network: %s",
                          network == NULL ? "it is NULL" : "it has no function to evaluate it");
    ito_tensor *output = network->evaluate(network, in);
    if (output == NULL)
        ito_error_set(ITO_ERR_ARGUMENT, "network: it gave nothing"); /* an earlier error stays */
    return output;
}

void ito_network_begin(ito_network *network)
{
    if (network != NULL && network->begin != NULL)
        network->begin(network);
}

void ito_network_free(ito_network *network)
{
    if (network != NULL && network->free != NULL)
        network->free(network);
}
