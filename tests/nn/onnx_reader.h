/* ONNX files read by the letter of the wire format, without a line of the library: for its tests.
 */
#ifndef TESTS_NN_ONNX_READER_H
#define TESTS_NN_ONNX_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { READER_NODES = 256, READER_LIST = 16 };

typedef struct read_node {
    char type[40], name[120];
    int inputs, outputs;
    char input[READER_LIST][120], output[2][120];
} read_node;

/* A constant; data: within the file, or NULL with the place in the file beside. */
typedef struct read_tensor {
    char name[120];
    int dtype, ndim;
    int64_t dim[READER_LIST];
    const unsigned char *data;
    size_t bytes;
    char location[120];
    int64_t offset, length;
} read_tensor;

/* An input or output; "batch" stands as -1, "4*batch" as -4. */
typedef struct read_value {
    char name[120];
    int dtype, ndim;
    int64_t dim[READER_LIST];
} read_value;

typedef struct read_model {
    unsigned char *bytes;
    size_t size;
    int64_t ir_version, opset;
    char producer[40], version[40], graph[40];
    int nodes, tensors, inputs, outputs;
    read_node node[READER_NODES];
    read_tensor tensor[READER_NODES];
    read_value input[READER_LIST], output[READER_LIST];
} read_model;

/* Freed by onnx_close. Fails the test for anything that is not well formed or not expected. */
read_model *onnx_open(const char *path);
void onnx_close(read_model *m);

const read_tensor *onnx_constant(const read_model *m, const char *name);
/* How many operators of a type there are. */
int onnx_count(const read_model *m, const char *type);
/* The types of all operators, joined by spaces. */
const char *onnx_types(const read_model *m);
/* Whether every value is made before it is taken, and once. */
void onnx_check_order(const read_model *m);

#endif
