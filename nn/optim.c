/* Optimisers over a model's flat memory: their creation, groups, state, and the pass of a step. The
 * algorithms are in nn/optim/. */
#include "nn/optim.h"
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "nn/clip.h"
#include "nn/ema_pass.h"
#include "nn/optim/optimizer.h"
#include "nn/registry.h"
#include "tensor/choice.h"
#include "tensor/profile.h"
#include "tensor/scope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- algorithms by name ------------------------------------------------------------------------
 */

const ito_optimizer_algorithm *ito_optimizer_find(const char *name)
{
#define ITO_OPTIMIZER(object) (const ito_choice *)(const void *)&object,
    static const ito_choice *const list[] = {
#include "nn/optim/optimizers.def"
    };
    return (const void *)choice_in("optimizer", list, sizeof list / sizeof list[0], name);
}

/* ---- creation ----------------------------------------------------------------------------------
 */

/* Neighbours with one setting share pieces. */
static void find_runs(ito_optimizer *o)
{
    for (int64_t i = 0; i < o->flat->list->n; i++) {
        const parameter_setting *here = &o->setting[i], *before = here - 1;
        bool same = i > 0 && here->matrix == before->matrix && here->lr_scale == before->lr_scale &&
                    (here->weight_decay == before->weight_decay ||
                     (isnan(here->weight_decay) && isnan(before->weight_decay)));
        o->run[i] = same ? o->run[i - 1] : i;
    }
}

static bool make_settings(ito_optimizer *o)
{
    const ito_named_tensors *list = o->flat->list;
    o->setting = struct_alloc((size_t)list->n * sizeof *o->setting + 1);
    o->run = struct_alloc((size_t)list->n * sizeof *o->run + 1);
    if (o->setting == NULL || o->run == NULL)
        return false;
    for (int64_t i = 0; i < list->n; i++)
        o->setting[i] = (parameter_setting){.lr_scale = 1,
                                            .weight_decay = (double)NAN,
                                            .matrix = o->algorithm->is_matrix != NULL &&
                                                      ito_numel(list->tensors[i]) > 0 &&
                                                      o->algorithm->is_matrix(o, list->tensors[i])};
    find_runs(o);
    return true;
}

ito_optimizer *optimizer_create(ito_module *model, const algorithm *a, unsigned states,
                                const void *options, size_t bytes, double weight_decay)
{
    module_flat *flat = flat_of(model);
    ito_optimizer *o = flat == NULL ? NULL : struct_alloc(sizeof *o);
    if (o == NULL)
        return NULL;
    o->algorithm = a;
    o->flat = flat;
    o->weight_decay = o->matrix_weight_decay = weight_decay;
    memcpy(&o->options, options, bytes);
    if (!make_settings(o))
        goto fail;
    for (int i = 0; i < MAX_STATES; i++)
        if (states >> i & 1) {
            o->state[i] = flat_zeros(flat);
            if (o->state[i] == NULL)
                goto fail;
        }
    return o;
fail:
    ito_optimizer_free(o);
    return NULL;
}

bool optimizer_reserve(ito_optimizer *o, int64_t n, size_t name_bytes, int64_t pending)
{
    o->own = named_tensors_create(n, name_bytes);
    o->pending = struct_alloc((size_t)pending * sizeof *o->pending + 1);
    return o->own != NULL && o->pending != NULL;
}

bool optimizer_own(ito_optimizer *o, const char *prefix, const char *name, ito_shape shape,
                   ito_dtype dtype)
{
    ito_tensor *t = tensor_disown(tensor_empty(shape, dtype));
    if (t != NULL)
        tensor_fill(t, 0);
    return named_tensors_add(o->own, prefix, name, t);
}

void ito_optimizer_free(ito_optimizer *opt)
{
    if (opt == NULL)
        return;
    for (int i = 0; i < MAX_STATES; i++)
        ito_release(opt->state[i]);
    ito_named_tensors_free(opt->own);
    ito_release(opt->resting);
    free(opt->setting);
    free(opt->run);
    free(opt->pending);
    free(opt);
}

bool optimizer_in_range(const char *op, const char *what, double value, double limit)
{
    if (value >= 0 && value < limit)
        return true;
    if (isinf(limit))
        ito_error_set(ITO_ERR_RANGE, "%s: %s %g is negative or not finite", op, what, value);
    else
        ito_error_set(ITO_ERR_RANGE, "%s: %s %g is not in [0, %g)", op, what, value, limit);
    return false;
}

/* ---- groups ------------------------------------------------------------------------------------
 */

/* Whether text fits the pattern: after a *, the shortest rest that fits. */
static bool fits(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static ito_status check_group(const ito_optimizer *o, const ito_group_options *g)
{
    if (!isnan(g->lr_scale) &&
        !optimizer_in_range("optimizer_group", "lr_scale", g->lr_scale, (double)INFINITY))
        return ITO_ERR_RANGE;
    if (!isnan(g->weight_decay) &&
        !optimizer_in_range("optimizer_group", "weight decay", g->weight_decay, (double)INFINITY))
        return ITO_ERR_RANGE;
    if (g->elementwise && o->steps > 0)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "optimizer_group: elementwise is set before the first step; "
                             "%" PRId64 " are done",
                             o->steps);
    return ITO_OK;
}

/* What was scratch of a matrix becomes state. */
static void make_elementwise(ito_optimizer *o, int64_t i)
{
    const module_flat *f = o->flat;
    size_t bytes = (size_t)ito_numel(f->list->tensors[i]) * ito_dtype_size(f->dtype);
    for (int s = 0; s < MAX_STATES; s++)
        if (o->setting[i].matrix && o->state[s] != NULL)
            memset(flat_at(o->state[s], f->offset[i]), 0, bytes);
    o->setting[i].matrix = false;
}

static ito_status set_one(ito_optimizer *o, int64_t i, const ito_group_options *g)
{
    parameter_setting *s = &o->setting[i];
    if (!isnan(g->lr_scale))
        s->lr_scale = g->lr_scale;
    if (!isnan(g->weight_decay))
        s->weight_decay = g->weight_decay;
    if (g->elementwise)
        make_elementwise(o, i);
    if (g->frozen && ito_requires_grad(o->flat->list->tensors[i], false) == NULL)
        return ito_error_code();
    return ITO_OK;
}

ito_status ito_optimizer_group_with(ito_optimizer *opt, const char *pattern,
                                    ito_group_options options)
{
    if (opt == NULL || pattern == NULL)
        return error_missing("optimizer_group", opt == NULL ? "the optimiser" : "the pattern");
    ito_status status = check_group(opt, &options);
    const ito_named_tensors *list = opt->flat->list;
    bool any = false;
    for (int64_t i = 0; i < list->n && status == ITO_OK; i++)
        if (fits(pattern, list->names[i])) {
            any = true;
            status = set_one(opt, i, &options);
        }
    find_runs(opt);
    if (status == ITO_OK && !any)
        status = ito_error_set(ITO_ERR_ARGUMENT,
                               "optimizer_group: no parameter's name fits \"%.80s\"", pattern);
    return status;
}

/* The place of a parameter, or -1 with an error recorded; t is the k-th of a list. */
static int64_t place_of(const ito_optimizer *o, const ito_tensor *t, int64_t k)
{
    const ito_named_tensors *list = o->flat->list;
    for (int64_t i = 0; i < list->n; i++)
        if (list->tensors[i] == t && t != NULL)
            return i;
    ito_error_set(ITO_ERR_ARGUMENT,
                  "optimizer_group: tensor %" PRId64 " of the list is no parameter of the model",
                  k);
    return -1;
}

ito_status ito_optimizer_group_list_with(ito_optimizer *opt, ito_tensor *const *parameters,
                                         int64_t n, ito_group_options options)
{
    if (opt == NULL || parameters == NULL)
        return error_missing("optimizer_group", opt == NULL ? "the optimiser" : "the list");
    ito_status status = check_group(opt, &options);
    for (int64_t k = 0; k < n && status == ITO_OK; k++)
        if (place_of(opt, parameters[k], k) < 0)
            status = ITO_ERR_ARGUMENT;
    for (int64_t k = 0; k < n && status == ITO_OK; k++)
        status = set_one(opt, place_of(opt, parameters[k], k), &options);
    find_runs(opt);
    return status;
}

/* ---- what algorithms use -----------------------------------------------------------------------
 */

ito_tensor *optimizer_view(const ito_optimizer *o, int64_t i, const ito_tensor *block)
{
    return tensor_adopt(flat_view(o->flat, i, block));
}

ito_tensor *optimizer_gradient(const ito_optimizer *o, int64_t i, double scale)
{
    return ito_mul_scalar(optimizer_view(o, i, o->flat->grad), scale);
}

bool optimizer_trains(const ito_optimizer *o, int64_t i)
{
    return ito_has_grad_path(o->flat->list->tensors[i]);
}

step_rates optimizer_rates(const ito_optimizer *o, int64_t i, double lr)
{
    const parameter_setting *s = &o->setting[i];
    double usual = s->matrix ? o->matrix_weight_decay : o->weight_decay;
    return (step_rates){.lr = lr * s->lr_scale,
                        .weight_decay = isnan(s->weight_decay) ? usual : s->weight_decay};
}

bool optimizer_later(ito_optimizer *o, ito_tensor *to, ito_tensor *value)
{
    to = ito_keep(to);
    value = ito_keep(value);
    if (to == NULL || value == NULL)
        return false;
    o->pending[o->n_pending++] = (pending_copy){to, value};
    return true;
}

static int64_t bytes_of(const ito_tensor *t)
{
    return t == NULL ? 0 : (int64_t)t->storage->bytes;
}

int64_t optimizer_bytes(const ito_optimizer *o)
{
    if (o == NULL)
        return 0;
    int64_t bytes = bytes_of(o->resting);
    for (int s = 0; s < MAX_STATES; s++)
        bytes += bytes_of(o->state[s]);
    for (int64_t i = 0; o->own != NULL && i < o->own->n; i++)
        bytes += bytes_of(o->own->tensors[i]);
    return bytes;
}

/* ---- the step ----------------------------------------------------------------------------------
 */

/* Whether a step can be taken. */
static ito_status check_step(const ito_optimizer *o, double lr, const ito_step_options *options)
{
    const char *kind = o->algorithm->kind;
    if (!optimizer_in_range(kind, "learning rate", lr, (double)INFINITY))
        return ITO_ERR_RANGE;
    if (!(options->max_norm >= 0))
        return ito_error_set(ITO_ERR_RANGE, "%s: max_norm %g is negative or not a number", kind,
                             options->max_norm);
    if (o->resting != NULL)
        return ito_error_set(ITO_ERR_ARGUMENT, "%s: no step in evaluation mode", kind);
    if (o->shard != NULL && !o->shard->steps)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "%s: its state is kept in parts by %" PRId64
                             " ranks; ito_parallel_step takes the step of all",
                             kind, o->shard->of.ranks);
    if (options->ema != NULL && options->ema->flat != o->flat)
        return ito_error_set(ITO_ERR_ARGUMENT, "%s: the averages are those of another model", kind);
    if (!flat_check(o->flat, kind) || (options->ema != NULL && !ema_ready(options->ema)))
        return ITO_ERR_ARGUMENT;
    return ITO_OK;
}

static void *block_at(const ito_tensor *block, int64_t i)
{
    return block == NULL ? NULL : flat_at(block, i);
}

static bool is_here(const ito_optimizer *o, const flat_piece *piece)
{
    return o->shard == NULL || shard_owner(&o->shard->of, piece->begin) == o->shard->of.rank;
}

/* A frozen piece is only averaged. */
static void step_piece(const ito_optimizer *o, const flat_piece *piece, double lr, double scale,
                       const ito_tensor *average, double weight)
{
    const module_flat *f = o->flat;
    const algorithm *a = o->algorithm;
    const kernel_table *k = kernels(f->dtype);
    int64_t at = piece->begin;
    if (!is_here(o, piece))
        return;
    int64_t place = o->shard == NULL ? at : shard_place(&o->shard->of, at);
    step_arrays s = {
        .p = flat_at(f->data, at),
        .g = flat_at(f->grad, at),
        .state = {block_at(o->state[0], place), block_at(o->state[1], place),
                  block_at(o->state[2], place)},
        .average = block_at(average, at),
        .n = piece->end - at,
        .scale = scale,
        .weight = weight,
    };
    if (!piece->frozen)
        (o->setting[piece->run].matrix ? a->matrix_step
                                       : a->step)(o, k, &s, optimizer_rates(o, piece->run, lr));
    else if (average != NULL)
        k->ema_step(s.average, s.p, s.n, weight);
}

/* One pass over everything. */
static void step_all(const ito_optimizer *o, double lr, double scale, const ito_ema *ema)
{
    module_flat *f = o->flat;
    const ito_tensor *average = ema == NULL ? NULL : ema->average;
    double weight = 1 - ito_ema_decay(ema);
    int64_t pieces = flat_pieces(f, o->run);
    PARALLEL_FOR(i, pieces, 4 * f->n, step_piece(o, &f->piece[i], lr, scale, average, weight));
}

/* The factor of the gradients, by their norm if it is asked for; -1 with an error recorded. */
static double gradient_scale(const ito_optimizer *o, const ito_step_options *options)
{
    bool clips = options->max_norm < (double)INFINITY;
    if (!clips && options->grad_norm == NULL)
        return 1;
    int64_t pieces = flat_pieces(o->flat, NULL);
    clip_square_sums(o->flat, pieces, o->shard == NULL ? NULL : &o->shard->of);
    if (o->shard != NULL && o->shard->share_sums(o->shard->context, pieces) != ITO_OK)
        return -1;
    double norm = clip_norm(o->flat, pieces);
    if (options->grad_norm != NULL)
        *options->grad_norm = norm;
    if (!isfinite(norm)) {
        ito_error_set(ITO_ERR_NUMERIC, "%s: the norm of the gradients is %s", o->algorithm->kind,
                      isnan(norm) ? "nan" : "inf");
        return -1;
    }
    return clips ? clip_factor(norm, options->max_norm) : 1;
}

/* The step itself. It fails, and changes nothing, if the norm is needed and not finite, or if there
 * is no memory to prepare it. */
static ito_status step(ito_optimizer *o, double lr, const ito_step_options *options)
{
    module_flat *f = o->flat;
    const algorithm *a = o->algorithm;
    flat_gather_gradients(f);
    double scale = gradient_scale(o, options);
    o->n_pending = 0;
    o->steps++;
    if (scale < 0 || (a->prepare != NULL && !a->prepare(o, lr, scale))) {
        o->steps--;
        return ito_error_code();
    }
    if (a->begin != NULL)
        a->begin(o, lr);
    step_all(o, lr, scale, options->ema);
    for (int64_t i = 0; i < o->n_pending; i++)
        tensor_copy(o->pending[i].to, o->pending[i].value);
    ito_touch(f->data);
    if (options->ema != NULL)
        ema_advance(options->ema);
    return ITO_OK;
}

ito_status ito_optimizer_step_with(ito_optimizer *opt, double lr, ito_step_options options)
{
    if (opt == NULL)
        return error_missing("optimizer_step", "the optimiser");
    ito_status status = check_step(opt, lr, &options);
    if (status != ITO_OK)
        return status;
    static profile_row row = PROFILE_ROW("optimiser");
    profile_frame frame;
    profile_begin(&frame);
    ito_scope_begin();
    status = step(opt, lr, &options);
    ito_scope_end();
    profile_end(&frame, &row);
    return status;
}

/* ---- evaluation --------------------------------------------------------------------------------
 */

static void to_evaluation(ito_optimizer *o)
{
    module_flat *f = o->flat;
    const kernel_table *k = kernels(f->dtype);
    double weight = o->algorithm->evaluation_weight(o);
    int64_t pieces = flat_pieces(f, NULL);
    for (int64_t i = 0; i < pieces && o->steps > 0; i++)
        if (!f->piece[i].frozen)
            k->ema_step(flat_at(f->data, f->piece[i].begin),
                        flat_at(o->state[0], f->piece[i].begin),
                        f->piece[i].end - f->piece[i].begin, weight);
}

ito_status ito_optimizer_train(ito_optimizer *opt, bool training)
{
    if (opt == NULL)
        return error_missing("optimizer_train", "the optimiser");
    const module_flat *f = opt->flat;
    if (opt->algorithm->evaluation_weight == NULL || training == (opt->resting == NULL))
        return ITO_OK;
    if (!flat_check(f, opt->algorithm->kind))
        return ITO_ERR_ARGUMENT;
    size_t bytes = (size_t)f->n * ito_dtype_size(f->dtype);
    if (training) {
        memcpy(tensor_data(f->data), tensor_data(opt->resting), bytes);
        ito_release(opt->resting);
        opt->resting = NULL;
    } else {
        opt->resting = flat_zeros(f);
        if (opt->resting == NULL)
            return ITO_ERR_MEMORY;
        memcpy(tensor_data(opt->resting), tensor_data(f->data), bytes);
        to_evaluation(opt);
    }
    ito_touch(f->data);
    return ITO_OK;
}

bool ito_optimizer_is_training(const ito_optimizer *opt)
{
    return opt != NULL && opt->resting == NULL;
}

/* ---- state -------------------------------------------------------------------------------------
 */

int64_t ito_optimizer_steps(const ito_optimizer *opt)
{
    return opt == NULL ? 0 : opt->steps;
}

ito_status ito_optimizer_set_steps(ito_optimizer *opt, int64_t steps)
{
    if (opt == NULL)
        return error_missing("optimizer_set_steps", "the optimiser");
    if (steps < 0)
        return ito_error_set(ITO_ERR_RANGE, "%s: %" PRId64 " steps", opt->algorithm->kind, steps);
    opt->steps = steps;
    return ITO_OK;
}

const char *ito_optimizer_kind(const ito_optimizer *opt)
{
    return opt == NULL ? "" : opt->algorithm->kind;
}

/* What the names of state s begin with for parameter i; NULL: it has none. */
static const char *prefix_of(const ito_optimizer *o, int s, int64_t i)
{
    if (o->state[s] == NULL)
        return NULL;
    return o->setting[i].matrix ? o->algorithm->matrix_prefix[s] : o->algorithm->prefix[s];
}

static bool append_state(const ito_optimizer *o, ito_named_tensors *list)
{
    const module_flat *f = o->flat;
    for (int s = 0; s < MAX_STATES; s++)
        for (int64_t i = 0; i < f->list->n; i++) {
            const char *prefix = prefix_of(o, s, i);
            if (prefix != NULL &&
                !named_tensors_add(list, prefix, f->list->names[i], flat_view(f, i, o->state[s])))
                return false;
        }
    for (int64_t i = 0; o->own != NULL && i < o->own->n; i++)
        named_tensors_add(list, "", o->own->names[i], ito_retain(o->own->tensors[i]));
    return true;
}

ito_named_tensors *ito_optimizer_state(const ito_optimizer *opt)
{
    if (opt == NULL)
        return NULL;
    if (opt->shard != NULL)
        return error_null(ITO_ERR_ARGUMENT,
                          "optimizer_state: it is kept in parts by %" PRId64
                          " ranks; ito_parallel_checkpoint_save puts them together",
                          opt->shard->of.ranks);
    const ito_named_tensors *parameters = opt->flat->list;
    size_t bytes = opt->own == NULL ? 1 : named_tensors_bytes(opt->own);
    int64_t n = opt->own == NULL ? 0 : opt->own->n;
    for (int s = 0; s < MAX_STATES; s++)
        for (int64_t i = 0; i < parameters->n; i++) {
            const char *prefix = prefix_of(opt, s, i);
            n += prefix != NULL;
            bytes += prefix == NULL ? 0 : strlen(prefix) + strlen(parameters->names[i]) + 1;
        }
    ito_named_tensors *list = named_tensors_create(n, bytes);
    if (list != NULL && !append_state(opt, list)) {
        ito_named_tensors_free(list);
        list = NULL;
    }
    return list;
}
