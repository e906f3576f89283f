/* The wire format of Protocol Buffers, and the messages of onnx.proto that are expected. */
#include "tests/nn/onnx_reader.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct part {
    const unsigned char *at, *end;
} part;

typedef struct field {
    int number, kind;
    uint64_t value; /* of kind 0 */
    part inside;    /* of kinds 2 and 5 */
} field;

static uint64_t varint(part *p)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        cr_assert_lt(p->at, p->end, "a varint is cut off");
        unsigned char byte = *p->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    cr_assert_fail("a varint of more than ten bytes");
    return 0;
}

static bool next(part *p, field *f)
{
    if (p->at == p->end)
        return false;
    uint64_t key = varint(p);
    *f = (field){.number = (int)(key >> 3), .kind = (int)(key & 7)};
    if (f->kind == 0) {
        f->value = varint(p);
        return true;
    }
    cr_assert(f->kind == 2 || f->kind == 5, "kind %d", f->kind);
    uint64_t n = f->kind == 2 ? varint(p) : 4;
    cr_assert_leq(n, (uint64_t)(p->end - p->at), "a field is longer than its message");
    f->inside = (part){p->at, p->at + n};
    p->at += n;
    return true;
}

static void text(char *to, size_t room, part p)
{
    size_t n = (size_t)(p.end - p.at);
    cr_assert_lt(n, room);
    memcpy(to, p.at, n);
    to[n] = '\0';
}
#define TEXT(to, f) text(to, sizeof(to), (f).inside)
#define UNEXPECTED(what, f) cr_assert_fail("%s has a field %d", what, (f).number)

static void read_attribute(part p)
{
    field f;
    bool typed = false;
    while (next(&p, &f)) {
        typed = typed || f.number == 20;
        if (f.number != 1 && f.number != 2 && f.number != 3 && f.number != 4 && f.number != 8 &&
            f.number != 20)
            UNEXPECTED("an attribute", f);
    }
    cr_assert(typed);
}

static void read_operator(part p, read_node *n)
{
    field f;
    while (next(&p, &f))
        switch (f.number) {
        case 1:
            cr_assert_lt(n->inputs, READER_LIST);
            TEXT(n->input[n->inputs], f);
            n->inputs++;
            break;
        case 2:
            cr_assert_lt(n->outputs, 2);
            TEXT(n->output[n->outputs], f);
            n->outputs++;
            break;
        case 3:
            TEXT(n->name, f);
            break;
        case 4:
            TEXT(n->type, f);
            break;
        case 5:
            read_attribute(f.inside);
            break;
        default:
            UNEXPECTED("a node", f);
        }
}

static void read_place(part p, read_tensor *t)
{
    char key[40] = "", value[120] = "";
    field f;
    while (next(&p, &f)) {
        if (f.number == 1)
            TEXT(key, f);
        else
            TEXT(value, f);
    }
    if (strcmp(key, "location") == 0)
        memcpy(t->location, value, sizeof value);
    else if (strcmp(key, "offset") == 0)
        t->offset = strtoll(value, NULL, 10);
    else
        t->length = strtoll(value, NULL, 10);
}

static void read_constant(part p, read_tensor *t)
{
    field f;
    while (next(&p, &f))
        switch (f.number) {
        case 1:
            t->dim[t->ndim++] = (int64_t)f.value;
            break;
        case 2:
            t->dtype = (int)f.value;
            break;
        case 8:
            TEXT(t->name, f);
            break;
        case 9:
            t->data = f.inside.at;
            t->bytes = (size_t)(f.inside.end - f.inside.at);
            break;
        case 13:
            read_place(f.inside, t);
            break;
        case 14:
            cr_assert_eq(f.value, 1);
            break;
        default:
            UNEXPECTED("a tensor", f);
        }
}

static int64_t read_size(part p)
{
    field f;
    char symbol[40];
    cr_assert(next(&p, &f));
    if (f.number == 1)
        return (int64_t)f.value;
    TEXT(symbol, f);
    return strcmp(symbol, "batch") == 0 ? -1 : -strtoll(symbol, NULL, 10);
}

static void read_info(part p, read_value *v)
{
    field f, g;
    while (next(&p, &f)) {
        if (f.number == 1) {
            TEXT(v->name, f);
            continue;
        }
        cr_assert(next(&f.inside, &g) && g.number == 1, "the type is of no tensor");
        while (next(&g.inside, &f)) {
            if (f.number == 1) {
                v->dtype = (int)f.value;
                continue;
            }
            for (field d; next(&f.inside, &d);)
                v->dim[v->ndim++] = read_size(d.inside);
        }
        return;
    }
}

static void read_graph(part p, read_model *m)
{
    field f;
    while (next(&p, &f))
        switch (f.number) {
        case 1:
            cr_assert_lt(m->nodes, READER_NODES);
            read_operator(f.inside, &m->node[m->nodes++]);
            break;
        case 2:
            TEXT(m->graph, f);
            break;
        case 5:
            cr_assert_lt(m->tensors, READER_NODES);
            read_constant(f.inside, &m->tensor[m->tensors++]);
            break;
        case 11:
            read_info(f.inside, &m->input[m->inputs++]);
            break;
        case 12:
            read_info(f.inside, &m->output[m->outputs++]);
            break;
        default:
            UNEXPECTED("the graph", f);
        }
}

static void read_opset(part p, read_model *m)
{
    field f;
    while (next(&p, &f))
        if (f.number == 2)
            m->opset = (int64_t)f.value;
        else
            cr_assert_eq(f.inside.at, f.inside.end, "a domain of operators");
}

read_model *onnx_open(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    read_model *m = calloc(1, sizeof *m);
    cr_assert_not_null(m);
    fseek(file, 0, SEEK_END);
    m->size = (size_t)ftell(file);
    rewind(file);
    m->bytes = malloc(m->size);
    cr_assert_eq(fread(m->bytes, 1, m->size, file), m->size);
    fclose(file);
    part p = {m->bytes, m->bytes + m->size};
    field f;
    while (next(&p, &f))
        switch (f.number) {
        case 1:
            m->ir_version = (int64_t)f.value;
            break;
        case 2:
            TEXT(m->producer, f);
            break;
        case 3:
            TEXT(m->version, f);
            break;
        case 7:
            read_graph(f.inside, m);
            break;
        case 8:
            read_opset(f.inside, m);
            break;
        default:
            UNEXPECTED("the model", f);
        }
    return m;
}

void onnx_close(read_model *m)
{
    free(m->bytes);
    free(m);
}

const read_tensor *onnx_constant(const read_model *m, const char *name)
{
    for (int i = 0; i < m->tensors; i++)
        if (strcmp(m->tensor[i].name, name) == 0)
            return &m->tensor[i];
    return NULL;
}

int onnx_count(const read_model *m, const char *type)
{
    int n = 0;
    for (int i = 0; i < m->nodes; i++)
        n += strcmp(m->node[i].type, type) == 0;
    return n;
}

const char *onnx_types(const read_model *m)
{
    static char all[READER_NODES * 40];
    all[0] = '\0';
    for (int i = 0; i < m->nodes; i++) {
        strcat(all, i > 0 ? " " : "");
        strcat(all, m->node[i].type);
    }
    return all;
}

static bool is_made(const read_model *m, const char *name, int before)
{
    bool made = name[0] == '\0' || onnx_constant(m, name) != NULL;
    for (int i = 0; i < m->inputs; i++)
        made = made || strcmp(m->input[i].name, name) == 0;
    for (int i = 0; i < before; i++)
        for (int k = 0; k < m->node[i].outputs; k++)
            made = made || strcmp(m->node[i].output[k], name) == 0;
    return made;
}

void onnx_check_order(const read_model *m)
{
    for (int i = 0; i < m->nodes; i++) {
        for (int k = 0; k < m->node[i].inputs; k++)
            cr_expect(is_made(m, m->node[i].input[k], i), "%s takes %s", m->node[i].name,
                      m->node[i].input[k]);
        for (int k = 0; k < m->node[i].outputs; k++)
            cr_expect(!is_made(m, m->node[i].output[k], i), "%s is made twice",
                      m->node[i].output[k]);
    }
    cr_expect(is_made(m, m->output[0].name, m->nodes));
}
