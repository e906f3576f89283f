/* The rows of the table: which shapes, as what a worker is told and what they amount to. */
#include "tests/bench/bench_table.h"

#include <inttypes.h>

static const char *const dtypes[] = {"f32", "bf16"};

/* The row in f32, then in bf16, so that the second tells what it gains. */
static void in_both(bench *b, row r, bool narrow)
{
    for (int d = 0; d < (narrow ? 2 : 1); d++) {
        r.dtype = dtypes[d];
        do_row(b, &r);
    }
}

void gemm_rows(bench *b)
{
    static const struct {
        const char *layout;
        int64_t batch, m, n, k;
    } shapes[] = {{"nn", 1, 256, 256, 256},    {"nn", 1, 1024, 1024, 1024},
                  {"nn", 1, 2048, 2048, 2048}, {"nn", 1, 16384, 128, 1152},
                  {"nn", 1, 4096, 256, 2304},  {"nn", 1, 256, 256, 2304},
                  {"tn", 1, 128, 1152, 16384}, {"nt", 1, 16, 512, 512},
                  {"nt", 1, 1, 512, 512},      {"nt", 16, 256, 256, 256}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        row r = {.part = "gemm", .threads = b->o.threads};
        int64_t n = shapes[i].batch;
        r.amount = 2.0 * (double)(n * shapes[i].m) * (double)(shapes[i].n * shapes[i].k);
        snprintf(r.spec, sizeof r.spec, "gemm %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
                 shapes[i].layout, n, shapes[i].m, shapes[i].n, shapes[i].k);
        snprintf(r.name, sizeof r.name, "gemm %s %" PRId64 "x%" PRId64 "x%" PRId64,
                 shapes[i].layout, shapes[i].m, shapes[i].n, shapes[i].k);
        if (n > 1)
            snprintf(r.name, sizeof r.name,
                     "gemm %s %" PRId64 "x%" PRId64 "x%" PRId64 " batch %" PRId64, shapes[i].layout,
                     shapes[i].m, shapes[i].n, shapes[i].k, n);
        in_both(b, r, true);
    }
}

void conv_rows(bench *b)
{
    static const int64_t shapes[][4] = {{16, 128, 128, 32}, {16, 256, 256, 8},  {16, 384, 128, 32},
                                        {16, 256, 256, 16}, {16, 512, 256, 16}, {16, 256, 256, 4},
                                        {64, 32, 32, 32},   {64, 64, 64, 16}};
    static const char *const passes[] = {"forward", "data", "weight"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int p = 0; p < 3; p++) {
            const int64_t *s = shapes[i];
            row r = {.part = "conv", .threads = b->o.threads};
            r.amount = 18.0 * (double)(s[0] * s[1] * s[2]) * (double)(s[3] * s[3]);
            snprintf(r.spec, sizeof r.spec, "conv %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
                     passes[p], s[0], s[1], s[2], s[3]);
            snprintf(r.name, sizeof r.name,
                     "conv %" PRId64 "->%" PRId64 " %" PRId64 "x%" PRId64 " batch %" PRId64 " %s",
                     s[1], s[2], s[3], s[3], s[0], passes[p]);
            in_both(b, r, true);
        }
}

/* Work that memory bounds: the bytes are the least that a fused kernel must read and write. */
void layer_rows(bench *b)
{
    static const struct {
        const char *name, *spec;
        double elements; /* read or written, of f32 or bf16 */
        double flop;     /* instead, if arithmetic bounds it */
        bool narrow;     /* in bf16 too */
    } rows[] = {
        {"group_norm_silu forward + backward", "group_norm_silu 128 128 32", 5.0 * (1 << 24), 0,
         true},
        {"layer_norm 256 forward + backward", "layer_norm 16384 256", 5.0 * (1 << 22), 0, true},
        {"silu forward + backward", "silu 128 128 32", 5.0 * (1 << 24), 0, true},
        {"softmax forward + backward", "softmax 65536 256", 5.0 * (1 << 24), 0, true},
        {"dropout forward + backward", "dropout 128 128 32", 4.0 * (1 << 24), 0, true},
        {"cat", "cat 64 128 32", 4.0 * (1 << 23), 0, true},
        {"upsample forward + backward", "upsample 128 128 16", 10.0 * (1 << 22), 0, true},
        {"add", "add 128 128 32", 3.0 * (1 << 24), 0, true},
        {"channels-last to row-major", "row_major 128 128 32", 2.0 * (1 << 24), 0, true},
        {"attention 256x256 forward + backward", "attention 16 256 256", 0,
         12.0 * 16 * 256 * 256 * 256, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int d = 0; d < (rows[i].narrow ? 2 : 1); d++) {
            row r = {.part = "layers", .dtype = dtypes[d], .threads = b->o.threads, .unit = GBS};
            r.amount = rows[i].elements * (d == 0 ? 4 : 2);
            if (rows[i].flop > 0) {
                r.unit = GFLOPS;
                r.amount = rows[i].flop;
            }
            snprintf(r.name, sizeof r.name, "%s", rows[i].name);
            snprintf(r.spec, sizeof r.spec, "%s", rows[i].spec);
            do_row(b, &r);
        }
    row passes[] = {
        {.name = "f32 to bf16", .spec = "to_bf16 128 128 32", .amount = 6.0 * (1 << 24)},
        {.name = "random normals", .spec = "randn 16777216", .amount = 4.0 * (1 << 24)},
        /* norm: read g; then read p g m v e, write p m v e */
        {.name = "clip, Adam, averages", .spec = "optimiser cifar10", .amount = 40.0 * 35746307},
    };
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        passes[i].part = "layers";
        passes[i].threads = b->o.threads;
        passes[i].unit = GBS;
        in_both(b, passes[i], false);
    }
}

/* What an operation costs that has next to nothing to compute. */
void small_rows(bench *b)
{
    row rows[] = {
        {.name = "100 additions of 4 floats, recorded", .spec = "additions 100 4"},
        {.name = "the same and their backward", .spec = "additions_backward 100 4"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rows[i].part = "small";
        rows[i].threads = b->o.threads;
        rows[i].unit = MICROSECONDS;
        rows[i].amount = 100;
        in_both(b, rows[i], false);
    }
}

/* One thread and networks alone, which say little that the other rows do not, with --all only. */
void step_rows(bench *b)
{
    static const struct {
        const char *name, *spec;
        int images;
        double flop; /* of an image */
        bool alone;  /* the network by itself */
        bool narrow; /* in bf16 too */
    } rows[] = {{"CIFAR-10 training step", "train cifar10 16", 16, 3 * 12.44e9, false, true},
                {"small training step", "train small 64", 64, 3 * 0.836e9, false, true},
                {"CIFAR-10 network", "network cifar10 16", 16, 12.44e9, true, false},
                {"CIFAR-10 sampling step", "sample cifar10 16", 16, 12.44e9, false, true},
                {"small network", "network small 16", 16, 0.836e9, true, false},
                {"small sampling step", "sample small 16", 16, 0.836e9, false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int d = 0; d < 2; d++) {
            if ((d == 1 && !rows[i].narrow) || (rows[i].alone && !b->o.all))
                continue;
            bool one_too =
                b->o.all && b->o.threads > 1 && d == 0 && strncmp(rows[i].spec, "train", 5) == 0;
            for (int one = one_too; one >= 0; one--) {
                row r = {.part = "steps", .dtype = dtypes[d], .unit = IMAGES};
                r.threads = one ? 1 : b->o.threads;
                r.amount = rows[i].images;
                r.flop = rows[i].flop * rows[i].images;
                snprintf(r.name, sizeof r.name, "%s, batch %d", rows[i].name, rows[i].images);
                snprintf(r.spec, sizeof r.spec, "%s", rows[i].spec);
                do_row(b, &r);
            }
        }
}
