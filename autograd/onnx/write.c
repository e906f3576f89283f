/* The file: a ModelProto. Everything but the elements of constants is put together in memory; those
 * are written from where they lie, so that a model is never in memory twice. Field numbers are
 * those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), version 17 of its
 * operators. */
#include "autograd/onnx/write.h"
#include "autograd/onnx/names.h"
#include "autograd/onnx/wire.h"
#include "tensor/io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IR_VERSION = 8, OPSET = 17, DATA_ALIGNMENT = 64, SMALL = 1024 };

/* A constant with elements: where they go. */
typedef struct stored {
    const onnx_slot *slot;
    wire head;      /* of its TensorProto, but for the elements */
    int64_t bytes;  /* of the elements */
    int64_t offset; /* in the file beside, or -1 */
} stored;

typedef struct writer {
    const onnx_graph *g;
    const onnx_request *r;
    wire graph; /* the GraphProto, but for the stored constants */
    stored *stored;
    int64_t n_stored;
    int64_t data_size; /* of the file beside */
    bool failed;
} writer;

/* ---- parts of the graph ------------------------------------------------------------------------
 */

static void put_attribute(wire *node, const onnx_attribute *a)
{
    wire m = {0};
    wire_text(&m, 1, a->name);
    if (a->type == ONNX_FLOAT)
        wire_float(&m, 2, (float)a->f);
    else if (a->type == ONNX_INT)
        wire_int(&m, 3, a->i);
    else if (a->type == ONNX_STRING)
        wire_text(&m, 4, a->s);
    for (int i = 0; i < a->ints.n && a->type == ONNX_INT_LIST; i++)
        wire_int(&m, 8, a->ints.at[i]);
    wire_int(&m, 20, a->type);
    wire_message(node, 5, &m);
}

static void put_node(writer *w, const onnx_node *node)
{
    wire m = {0};
    char name[ONNX_NAME];
    int64_t n = node->n;
    while (n > 0 && node->in[n - 1] == 0)
        n--;
    for (int64_t i = 0; i < n; i++)
        wire_text(&m, 1, onnx_name(w->g, w->r, node->in[i], name));
    for (int i = 0; i < node->outputs; i++)
        wire_text(&m, 2, onnx_name(w->g, w->r, node->out + i, name));
    snprintf(name, sizeof name, "%s_%" PRId64, node->op, w->g->slot[node->out].order);
    wire_text(&m, 3, name);
    wire_text(&m, 4, node->type);
    for (int i = 0; i < node->attributes; i++)
        put_attribute(&m, &node->attribute[i]);
    wire_message(&w->graph, 1, &m);
}

/* A node of the writer's own. */
static void put_own_node(writer *w, const char *type, const char *a, const char *b, const char *out)
{
    wire m = {0};
    wire_text(&m, 1, a);
    if (b != NULL)
        wire_text(&m, 1, b);
    wire_text(&m, 2, out);
    wire_text(&m, 3, out);
    wire_text(&m, 4, type);
    wire_message(&w->graph, 1, &m);
}

/* A small constant. dims: NULL for a number. */
static void put_constant(writer *w, const char *name, int dtype, const int64_t *length,
                         const void *bytes, int64_t n)
{
    wire m = {0};
    if (length != NULL)
        wire_int(&m, 1, *length);
    wire_int(&m, 2, dtype);
    wire_text(&m, 8, name);
    wire_bytes(&m, 9, bytes, n);
    wire_message(&w->graph, 5, &m);
}

static void put_ints(writer *w, const char *name, const int64_t *at, int64_t n)
{
    put_constant(w, name, onnx_dtype(ITO_I64), &n, at, n * (int64_t)sizeof *at);
}

static void put_number(writer *w, const char *name, double value, ito_dtype dtype)
{
    ito_scope_begin();
    ito_tensor *t = ito_scalar(value, dtype);
    w->failed = w->failed || t == NULL;
    if (t != NULL)
        put_constant(w, name, onnx_dtype(dtype), NULL, tensor_data(t),
                     (int64_t)ito_dtype_size(dtype));
    ito_scope_end();
}

/* ---- sizes that depend on the batch ------------------------------------------------------------
 */

#define BATCH "/batch"

static void put_batch(writer *w, const char *input, int axis)
{
    wire m = {0};
    wire_text(&m, 1, input);
    wire_text(&m, 2, BATCH);
    wire_text(&m, 3, BATCH);
    wire_text(&m, 4, "Shape");
    put_attribute(&m, &(onnx_attribute)ONNX_I("start", axis));
    put_attribute(&m, &(onnx_attribute)ONNX_I("end", axis + 1));
    wire_message(&w->graph, 1, &m);
}

/* The list as the value `name`: constant pieces and multiples of the batch, joined. */
static void put_sizes(writer *w, const char *name, const onnx_list *ints, const onnx_list *times)
{
    wire join = {0};
    for (int i = 0; i < ints->n; i++) {
        char piece[440], factor[460];
        snprintf(piece, sizeof piece, "%s_%d", name, i);
        snprintf(factor, sizeof factor, "%s_times", piece);
        if (times->at[i] == 0) {
            put_ints(w, piece, &ints->at[i], 1);
        } else if (times->at[i] > 1) {
            put_ints(w, factor, &times->at[i], 1);
            put_own_node(w, "Mul", BATCH, factor, piece);
        }
        wire_text(&join, 1, times->at[i] == 1 ? BATCH : piece);
    }
    wire_text(&join, 2, name);
    wire_text(&join, 3, name);
    wire_text(&join, 4, "Concat");
    put_attribute(&join, &(onnx_attribute)ONNX_I("axis", 0));
    wire_message(&w->graph, 1, &join);
}

/* A shape to which the elements are brought, one size of which follows from their number. */
static bool put_open_shape(writer *w, const char *name, const onnx_slot *s)
{
    onnx_list ints = s->ints;
    int open = 0;
    for (int i = 0; i < ints.n; i++) {
        if (s->times.at[i] == 0 && ints.at[i] == 0)
            return false;
        ints.at[i] = s->times.at[i] != 0 ? -1 : ints.at[i];
        open += s->times.at[i] != 0;
    }
    if (!s->reshapes || open != 1)
        return false;
    put_ints(w, name, ints.at, ints.n);
    return true;
}

/* ---- constants with elements -------------------------------------------------------------------
 */

/* The tensor, or one entry of it along the axes along which it repeats. */
static ito_tensor *elements_of(const onnx_slot *s)
{
    ito_shape shape = s->tensor->sizes;
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = s->times.at[i] != 0 ? 1 : shape.dim[i];
    return tensor_view(s->tensor, shape, s->tensor->stride, s->tensor->offset);
}

static void put_location(wire *m, const char *key, const char *value)
{
    wire entry = {0};
    wire_text(&entry, 1, key);
    wire_text(&entry, 2, value);
    wire_message(m, 13, &entry);
}

static void put_external(writer *w, stored *s)
{
    const char *base = strrchr(w->r->path, '/');
    char text[300];
    snprintf(text, sizeof text, "%.240s.data", base != NULL ? base + 1 : w->r->path);
    s->offset = (w->data_size + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT;
    w->data_size = s->offset + s->bytes;
    put_location(&s->head, "location", text);
    snprintf(text, sizeof text, "%" PRId64, s->offset);
    put_location(&s->head, "offset", text);
    snprintf(text, sizeof text, "%" PRId64, s->bytes);
    put_location(&s->head, "length", text);
    wire_int(&s->head, 14, 1);
}

static void put_tensor(writer *w, onnx_value v)
{
    const onnx_slot *slot = &w->g->slot[v];
    char room[ONNX_NAME], name[400];
    const char *own = onnx_name(w->g, w->r, v, room);
    bool repeats = onnx_is_repeated(slot);
    snprintf(name, sizeof name, "%s%s", own, repeats ? "_once" : "");
    stored *s = &w->stored[w->n_stored++];
    *s = (stored){.slot = slot, .offset = -1};
    ito_scope_begin();
    const ito_tensor *t = elements_of(slot);
    w->failed = w->failed || t == NULL;
    for (int i = 0; t != NULL && i < t->ndim; i++)
        wire_int(&s->head, 1, t->shape[i]);
    s->bytes = t == NULL ? 0 : ito_numel(t) * (int64_t)ito_dtype_size(t->dtype);
    wire_int(&s->head, 2, onnx_dtype(slot->dtype));
    wire_text(&s->head, 8, name);
    if (w->r->external && s->bytes >= SMALL)
        put_external(w, s);
    ito_scope_end();
    if (repeats) {
        char shape[420];
        snprintf(shape, sizeof shape, "%s_shape", name);
        const onnx_list sizes = onnx_list_of(slot->tensor->sizes);
        put_sizes(w, shape, &sizes, &slot->times);
        put_own_node(w, "Expand", name, shape, own);
    }
}

/* ---- the graph ---------------------------------------------------------------------------------
 */

static void put_constants(writer *w)
{
    const onnx_graph *g = w->g;
    for (onnx_value v = 1; v < g->slots; v++) {
        const onnx_slot *s = &g->slot[v];
        if (!s->live || s->kind == ONNX_INPUT || s->kind == ONNX_RESULT || onnx_first_of(g, v) != v)
            continue;
        char room[ONNX_NAME];
        const char *name = onnx_name(g, w->r, v, room);
        if (s->kind == ONNX_TENSOR)
            put_tensor(w, v);
        else if (s->kind == ONNX_NUMBER)
            put_number(w, name, s->number, s->dtype);
        else if (!onnx_is_repeated(s))
            put_ints(w, name, s->ints.at, s->ints.n);
        else if (!put_open_shape(w, name, s))
            put_sizes(w, name, &s->ints, &s->times);
    }
}

/* A ValueInfoProto. times: of the batch, or NULL. */
static void put_info(writer *w, int field, const char *name, ito_dtype dtype, ito_shape shape,
                     const onnx_list *times)
{
    wire info = {0}, type = {0}, tensor = {0}, sizes = {0};
    for (int i = 0; i < shape.ndim; i++) {
        wire dim = {0};
        char text[40];
        snprintf(text, sizeof text, times->at[i] == 1 ? "batch" : "%" PRId64 "*batch",
                 times->at[i]);
        if (times->at[i] == 0)
            wire_int(&dim, 1, shape.dim[i]);
        else
            wire_text(&dim, 2, text);
        wire_message(&sizes, 1, &dim);
    }
    wire_int(&tensor, 1, onnx_dtype(dtype));
    wire_message(&tensor, 2, &sizes);
    wire_message(&type, 1, &tensor);
    wire_text(&info, 1, name);
    wire_message(&info, 2, &type);
    wire_message(&w->graph, field, &info);
}

static void put_inputs(writer *w)
{
    bool has_batch = false;
    for (int64_t i = 0; i < w->r->n; i++) {
        const ito_tensor *x = w->r->inputs[i];
        onnx_list times = {.n = x->ndim};
        int axis = onnx_batch_axis(w->r, i);
        char room[32];
        const char *name = onnx_input_name(w->r, i, room);
        if (axis >= 0)
            times.at[axis] = 1;
        put_info(w, 11, name, x->dtype, x->sizes, &times);
        if (axis >= 0 && !has_batch)
            put_batch(w, name, axis);
        has_batch = has_batch || axis >= 0;
    }
}

static void put_graph(writer *w)
{
    const onnx_graph *g = w->g;
    put_inputs(w);
    put_constants(w);
    for (int64_t i = 0; i < g->nodes; i++)
        if (g->node[i].live)
            put_node(w, &g->node[i]);
    char room[ONNX_NAME];
    if (g->slot[g->output].kind != ONNX_RESULT)
        put_own_node(w, "Identity", onnx_name(g, w->r, g->output, room), NULL, w->r->output_name);
    wire_text(&w->graph, 2, "ito");
    put_info(w, 12, w->r->output_name, g->output_dtype, g->output_shape, &g->output_times);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

/* Bytes of a field of n bytes. */
static int64_t field_size(int field, int64_t n)
{
    return wire_head_size(field, n) + n;
}

/* Of a TensorProto. */
static int64_t stored_size(const stored *s)
{
    return s->head.size + (s->offset < 0 ? field_size(9, s->bytes) : 0);
}

static ito_status append(file_writer *f, const wire *w, int64_t *at)
{
    if (w->failed)
        return ito_error_code();
    ito_status status = file_write(f, w->data, (size_t)w->size, *at);
    *at += w->size;
    return status;
}

static ito_status append_elements(file_writer *f, const stored *s, int64_t *at)
{
    ito_scope_begin();
    const ito_tensor *t = elements_of(s->slot);
    t = t == NULL ? NULL : tensor_contiguous(t);
    ito_status status =
        t == NULL ? ito_error_code() : file_write(f, tensor_data(t), (size_t)s->bytes, *at);
    *at += s->bytes;
    ito_scope_end();
    return status;
}

/* A constant: its head, and its elements if they are not beside. */
static ito_status append_stored(file_writer *f, const stored *s, int64_t *at)
{
    wire head = {0};
    wire_head(&head, 5, stored_size(s));
    wire_raw(&head, s->head.data, s->head.size);
    if (s->offset < 0)
        wire_head(&head, 9, s->bytes);
    ito_status status = append(f, &head, at);
    wire_free(&head);
    if (status == ITO_OK && s->offset < 0)
        status = append_elements(f, s, at);
    return status;
}

static ito_status write_model(writer *w, file_writer *f, const wire *head)
{
    int64_t at = 0;
    ito_status status = append(f, head, &at);
    if (status == ITO_OK)
        status = append(f, &w->graph, &at);
    for (int64_t i = 0; i < w->n_stored && status == ITO_OK; i++)
        status = append_stored(f, &w->stored[i], &at);
    return status;
}

/* What comes before the graph's own bytes. */
static void put_head(writer *w, wire *head, int64_t graph_size)
{
    wire opset = {0};
    wire_int(head, 1, IR_VERSION);
    wire_text(head, 2, "ito");
    wire_text(head, 3, ito_version());
    wire_text(&opset, 1, "");
    wire_int(&opset, 2, OPSET);
    wire_message(head, 8, &opset);
    wire_head(head, 7, graph_size);
    head->failed = head->failed || w->failed || w->graph.failed;
    for (int64_t i = 0; i < w->n_stored; i++)
        head->failed = head->failed || w->stored[i].head.failed;
}

static ito_status write_data(const writer *w, file_writer *f)
{
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < w->n_stored && status == ITO_OK; i++) {
        int64_t at = w->stored[i].offset;
        if (at >= 0)
            status = append_elements(f, &w->stored[i], &at);
    }
    return status;
}

/* The file of elements first, so that a model always finds its own. */
static ito_status write_files(writer *w, const wire *head, const char *data_path)
{
    file_writer model = {0}, data = {0};
    ito_status status = file_write_begin(&model, w->r->path);
    if (status == ITO_OK)
        status = write_model(w, &model, head);
    if (status == ITO_OK && w->r->external)
        status = file_write_begin(&data, data_path);
    if (status == ITO_OK && w->r->external)
        status = write_data(w, &data);
    if (status == ITO_OK && w->r->external)
        status = file_write_commit(&data);
    bool placed = status == ITO_OK && w->r->external;
    if (status == ITO_OK)
        status = file_write_commit(&model);
    if (status != ITO_OK && placed)
        unlink(data_path);
    file_write_abandon(&data);
    file_write_abandon(&model);
    return status;
}

static ito_status write_all(writer *w)
{
    int64_t size = w->graph.size;
    for (int64_t i = 0; i < w->n_stored; i++)
        size += field_size(5, stored_size(&w->stored[i]));
    wire head = {0};
    put_head(w, &head, size);
    ito_status status = head.failed ? ito_error_code() : ITO_OK;
    if (status == ITO_OK && head.size + size > INT32_MAX)
        status = ito_error_set(ITO_ERR_ARGUMENT,
                               "onnx_save: %s would have %" PRId64 " bytes, and a reader of "
                               "protocol buffers takes at most %d: give .external = true",
                               w->r->path, head.size + size, INT32_MAX);
    size_t room = strlen(w->r->path) + sizeof ".data";
    char *data_path = struct_alloc(room);
    if (status == ITO_OK && data_path == NULL)
        status = ITO_ERR_MEMORY;
    if (data_path != NULL)
        snprintf(data_path, room, "%s.data", w->r->path);
    if (status == ITO_OK)
        status = write_files(w, &head, data_path);
    free(data_path);
    wire_free(&head);
    return status;
}

ito_status onnx_write(const onnx_graph *g, const onnx_request *r)
{
    writer w = {.g = g, .r = r};
    w.stored = struct_alloc((size_t)g->slots * sizeof *w.stored);
    if (w.stored == NULL)
        return ITO_ERR_MEMORY;
    put_graph(&w);
    ito_status status = write_all(&w);
    for (int64_t i = 0; i < w.n_stored; i++)
        wire_free(&w.stored[i].head);
    free(w.stored);
    wire_free(&w.graph);
    return status;
}
