/* The graph behind a tensor as text for Graphviz: one box an operation, one ellipse a leaf. */
#include "autograd/graph.h"

#include <stdlib.h>
#include <string.h>

typedef struct node_list {
    const node **item;
    int64_t count, capacity;
} node_list;

static bool list_add(node_list *list, const node *n)
{
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
        const node **grown = struct_alloc((size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        if (list->count > 0)
            memcpy(grown, list->item, (size_t)list->count * sizeof *grown);
        free(list->item);
        list->item = grown;
        list->capacity = capacity;
    }
    list->item[list->count++] = n;
    return true;
}

static void write_node(const node *n, FILE *file)
{
    fprintf(file, "  n%" PRIu64 " [shape=box, label=\"%s\\n%s\"];\n", n->sequence, n->info->name,
            shape_str(n->out_shape));
    for (int64_t i = 0; i < n->n; i++) {
        const edge *e = &n->edge[i];
        if (e->node != NULL)
            fprintf(file, "  n%" PRIu64 " -> n%" PRIu64 ";\n", e->node->sequence, n->sequence);
        if (e->leaf != NULL)
            fprintf(file, "  t%p [label=\"leaf\\n%s\"];\n  t%p -> n%" PRIu64 ";\n", (void *)e->leaf,
                    shape_str(n->shape[i]), (void *)e->leaf, n->sequence);
    }
}

ito_status ito_graph_dot(const ito_tensor *t, FILE *file)
{
    if (t == NULL)
        return ITO_ERR_ARGUMENT;
    node_list list = {0};
    node *root = tensor_node(t);
    uint64_t mark = graph_new_mark();
    bool done = true;
    if (root != NULL) {
        root->mark = mark;
        done = list_add(&list, root);
    }
    for (int64_t next = 0; next < list.count && done; next++)
        for (int64_t i = 0; i < list.item[next]->n && done; i++) {
            node *from = list.item[next]->edge[i].node;
            if (from != NULL && from->mark != mark) {
                from->mark = mark;
                done = list_add(&list, from);
            }
        }
    if (done) {
        fputs("digraph ito {\n  rankdir=LR;\n", file);
        for (int64_t i = 0; i < list.count; i++)
            write_node(list.item[i], file);
        if (fputs("}\n", file) < 0)
            done = error_false(ITO_ERR_IO, "graph_dot: the file takes no text");
    }
    free(list.item);
    return done ? ITO_OK : ito_error_code();
}
