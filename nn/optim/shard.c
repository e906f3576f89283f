/* The state of an optimiser in parts: each rank keeps that of the elements which it updates. */
#include "nn/optim/optimizer.h"

#include <string.h>

bool optimizer_shards(const ito_optimizer *o)
{
    const algorithm *a = o->algorithm;
    return a->prepare == NULL && a->is_matrix == NULL && a->evaluation_weight == NULL &&
           o->own == NULL;
}

/* Copy what is in both, which are state of all elements, one of them by parts. */
static void copy_parts(const flat_shard *s, ito_tensor *parts, ito_tensor *all, bool to_parts)
{
    for (int64_t b = 0; b < s->buckets; b++) {
        flat_range part = shard_part(s, b, s->rank);
        if (part.begin == part.end)
            continue;
        void *here = flat_at(parts, shard_place(s, part.begin)), *there = flat_at(all, part.begin);
        memcpy(to_parts ? here : there, to_parts ? there : here,
               (size_t)(part.end - part.begin) * ito_dtype_size(all->dtype));
    }
}

bool optimizer_set_shard(ito_optimizer *o, const optimizer_shard *shard)
{
    ito_tensor *made[MAX_STATES] = {NULL};
    if ((shard == NULL) == (o->shard == NULL))
        return true;
    for (int s = 0; s < MAX_STATES; s++) {
        if (o->state[s] == NULL)
            continue;
        made[s] =
            shard == NULL ? flat_zeros(o->flat) : flat_zeros_of(o->flat, shard_size(&shard->of));
        if (made[s] == NULL)
            goto fail;
    }
    for (int s = 0; s < MAX_STATES; s++) {
        if (made[s] == NULL)
            continue;
        if (shard == NULL)
            copy_parts(&o->shard->of, o->state[s], made[s], false);
        else
            copy_parts(&shard->of, made[s], o->state[s], true);
        ito_release(o->state[s]);
        o->state[s] = made[s];
    }
    o->shard = shard;
    return true;
fail:
    for (int s = 0; s < MAX_STATES; s++)
        ito_release(made[s]);
    return false;
}
