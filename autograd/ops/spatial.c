/* Options by axis, and padding with an image's own pixels. */
#include "autograd/ops/spatial.h"

#include <stdio.h>

bool spatial_values(const char *op, const char *what, int n, int64_t number, ito_shape list,
                    int64_t *value)
{
    if (list.ndim != 0 && list.ndim != n)
        return error_false(ITO_ERR_ARGUMENT, "%s: %s %s are not one for each of %d axes", op, what,
                           shape_str(list), n);
    for (int i = 0; i < n; i++)
        value[i] = list.ndim == 0 ? number : list.dim[i];
    return true;
}

const char *spatial_text(char text[AXES_TEXT], int n, const int64_t *value, bool each)
{
    bool same = !each;
    for (int i = 1; i < n; i++)
        same = same && value[i] == value[0];
    int length = 0;
    for (int i = 0; i < (same ? 1 : n); i++)
        length += snprintf(text + length, (size_t)(AXES_TEXT - length), "%s%" PRId64,
                           i > 0 ? " x " : "", value[i]);
    return text;
}

const char *spatial_word(int n)
{
    return n == 1 ? "a signal" : n == 2 ? "an image" : "a volume";
}

bool spatial_rank_fits(const char *op, const ito_tensor *x, int n)
{
    static const char *const axes[] = {"", "L", "H, W", "D, H, W"};
    return x->ndim == n + 2 || error_false(ITO_ERR_SHAPE, "%s: x %s is not [N, C, %s]", op,
                                           tensor_shape_str(x), axes[n]);
}

/* a b / c, rounded down, of numbers whose product may not fit. */
static int64_t muldiv(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((__extension__(__int128) a) * b / c);
}

void spatial_cell(int64_t i, int64_t in, int64_t out, int64_t *from, int64_t *to)
{
    *from = muldiv(i, in, out);
    *to = muldiv(i + 1, in, out);
    *to += muldiv(*to, out, in) < i + 1; /* rounded up: it fell short */
}

/* ---- padding with what is there ---- */

bool spatial_mode_fits(const char *op, int64_t size, int64_t before, int64_t after,
                       ito_padding_mode mode)
{
    int64_t most = mode == ITO_PADDING_CIRCULAR ? size : size - 1;
    int64_t pad = before > after ? before : after;
    if ((mode == ITO_PADDING_REPLICATE && size > 0) || pad <= most || pad == 0)
        return true;
    static const char *const words[] = {"", "reflection", "replication", "circular padding"};
    return error_false(ITO_ERR_SHAPE, "%s: %s by %" PRId64 " does not fit an axis of size %" PRId64,
                       op, words[mode], pad, size);
}

/* Which entry of an axis of this size lies at place i, which may be outside. */
static int64_t entry_at(int64_t i, int64_t size, ito_padding_mode mode)
{
    if (i >= 0 && i < size)
        return i;
    if (mode == ITO_PADDING_REPLICATE)
        return i < 0 ? 0 : size - 1;
    if (mode == ITO_PADDING_REFLECT)
        return i < 0 ? -i : 2 * (size - 1) - i;
    return i < 0 ? i + size : i - size;
}

ito_tensor *spatial_pad(ito_tensor *x, int axis, int64_t before, int64_t after,
                        ito_padding_mode mode)
{
    if (x == NULL || (before == 0 && after == 0))
        return x;
    int64_t size = x->shape[axis];
    ito_tensor *index = tensor_empty(ITO_SHAPE(before + size + after), ITO_I64);
    if (index == NULL)
        return NULL;
    int64_t *entry = tensor_data(index);
    for (int64_t i = 0; i < before + size + after; i++)
        entry[i] = entry_at(i - before, size, mode);
    return ito_index_select(x, axis, index);
}
