/* What ranks do with one function, exchange: gather, and agree. */
#include "nn/communicator.h"

#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

void ito_communicator_free(ito_communicator *c)
{
    if (c != NULL && c->free != NULL)
        c->free(c);
}

static bool check_gather(const void *mine, const void *all)
{
    if (mine == NULL || all == NULL)
        error_missing("communicator_gather", mine == NULL ? "what to send" : "the room");
    return mine != NULL && all != NULL;
}

ito_status ito_communicator_gather_parts(ito_communicator *c, const void *mine,
                                         const int64_t *bytes, void *all)
{
    if (bytes == NULL)
        return error_missing("communicator_gather", "the list of lengths");
    if (!check_gather(mine, all))
        return ITO_ERR_ARGUMENT;
    if (c == NULL || c->ranks == 1) {
        memmove(all, mine, (size_t)bytes[0]);
        return ITO_OK;
    }
    ito_block *blocks = struct_alloc(2 * (size_t)c->ranks * sizeof *blocks);
    if (blocks == NULL)
        return ITO_ERR_MEMORY;
    char *at = all;
    for (int64_t r = 0; r < c->ranks; r++) {
        blocks[r] = (ito_block){(void *)(uintptr_t)mine, bytes[c->rank]};
        blocks[c->ranks + r] = (ito_block){at, bytes[r]};
        at += bytes[r];
    }
    ito_status status = c->exchange(c, blocks, blocks + c->ranks);
    free(blocks);
    return status;
}

ito_status ito_communicator_gather(ito_communicator *c, const void *mine, int64_t bytes, void *all)
{
    int64_t ranks = c == NULL ? 1 : c->ranks;
    if (!check_gather(mine, all))
        return ITO_ERR_ARGUMENT;
    if (bytes < 0)
        return ito_error_set(ITO_ERR_ARGUMENT, "communicator_gather: %" PRId64 " bytes", bytes);
    int64_t *each = struct_alloc((size_t)ranks * sizeof *each);
    if (each == NULL)
        return ITO_ERR_MEMORY;
    for (int64_t r = 0; r < ranks; r++)
        each[r] = bytes;
    ito_status status = ito_communicator_gather_parts(c, mine, each, all);
    free(each);
    return status;
}

/* ---- agreement --------------------------------------------------------------------------------
 */

/* The line of text that has place i, without what is at its ends and tells nothing. */
static void line_at(const char *text, size_t i, char out[121])
{
    while (i > 0 && text[i - 1] != '\n')
        i--;
    i += strspn(text + i, " \t");
    size_t n = strcspn(text + i, "\n");
    while (n > 0 && strchr(" ,", text[i + n - 1]) != NULL)
        n--;
    n = n > 120 ? 120 : n;
    for (size_t k = 0; k < n; k++)
        out[k] = text[i + k] == '\t' ? ' ' : text[i + k];
    out[n] = '\0';
}

static ito_status compare(const ito_agreement *a, const char *first, const char *other,
                          int64_t rank)
{
    char here[121], there[121];
    size_t i = 0;
    while (first[i] == other[i] && first[i] != '\0')
        i++;
    if (first[i] == other[i])
        return ITO_OK;
    line_at(first, i, here);
    line_at(other, i, there);
    const char *nothing = "nothing";
    return ito_error_set(
        ITO_ERR_ARGUMENT, "ranks: rank %" PRId64 " differs from rank 0 in its %s: %s, not %s%s%s",
        rank, a->what, there[0] != '\0' ? there : nothing, here[0] != '\0' ? here : nothing,
        a->fix != NULL ? "; " : "", a->fix != NULL ? a->fix : "");
}

static ito_status agree_on(ito_communicator *c, const ito_agreement *a, int64_t *bytes)
{
    const char *text = a->text != NULL ? a->text : "";
    int64_t mine = (int64_t)strlen(text) + 1, sum = 0;
    ito_status status = ito_communicator_gather(c, &mine, sizeof mine, bytes);
    if (status != ITO_OK)
        return status;
    for (int64_t r = 0; r < c->ranks; r++)
        sum += bytes[r];
    char *all = struct_alloc((size_t)sum), *at = all;
    if (all == NULL)
        return ITO_ERR_MEMORY;
    status = ito_communicator_gather_parts(c, text, bytes, all);
    for (int64_t r = 0; r < c->ranks && status == ITO_OK; at += bytes[r++])
        status = compare(a, all, at, r);
    free(all);
    return status;
}

ito_status ito_communicator_agree(ito_communicator *c, const ito_agreement *list, int64_t n)
{
    if (n > 0 && list == NULL)
        return error_missing("communicator_agree", "the list");
    if (c == NULL || c->ranks == 1)
        return ITO_OK;
    int64_t *bytes = struct_alloc((size_t)c->ranks * sizeof *bytes);
    if (bytes == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < n && status == ITO_OK; i++)
        status = agree_on(c, &list[i], bytes);
    free(bytes);
    return status;
}
