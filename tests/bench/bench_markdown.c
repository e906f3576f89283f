/* A recorded run as tables in Markdown: the limits, and for each part what Ito takes and how many
 * times as fast it is as the peers, in f32 and in bf16. */
#include "tests/bench/bench_table.h"

/* Of the head, by key: as add_limits wrote them. */
static void print_limits(const recording *r, int threads)
{
    limit_line line[LIMITS];
    limit_lines(line, &(limits){.f32 = {0, 0}});
    printf("\n| limit | 1 thread | %d threads |\n| --- | --- | --- |\n", threads);
    for (int i = 0; i < LIMITS; i++) {
        const cJSON *pair =
            cJSON_GetObjectItem(cJSON_GetObjectItem(r->head, "limits"), line[i].key);
        if (cJSON_GetArraySize(pair) == 2)
            printf("| %s, %s | %.4g | %.4g |\n", line[i].name, line[i].unit,
                   cJSON_GetNumberValue(cJSON_GetArrayItem(pair, 0)),
                   cJSON_GetNumberValue(cJSON_GetArrayItem(pair, 1)));
    }
}

static void print_ratio(double theirs, double ours)
{
    if (theirs > 0 && ours > 0)
        printf(" %.2f |", theirs / ours);
    else
        printf(" |");
}

typedef enum shown { MILLISECONDS, RATE, MEMORY } shown;

/* What one type has to say: the figure, and how much better it is than the peers'. */
static void print_cells(const record *of, shown what)
{
    static const record nothing = {.threads = 0};
    const record *c = of != NULL ? of : &nothing;
    double figure = what == MEMORY ? c->memory : what == RATE ? c->rate : c->ms;
    if (of == NULL)
        printf(" |");
    else
        printf(figure < 9.95 ? " %.2f |" : figure < 99.5 ? " %.1f |" : " %.0f |", figure);
    print_ratio(what == MEMORY ? c->torch_memory : c->torch_ms, what == MEMORY ? c->memory : c->ms);
    if (what != MEMORY)
        print_ratio(c->onednn_ms, c->ms);
    else
        printf(" |");
}

static void print_line(const recording *r, const record *f32, shown what)
{
    const record *bf16 = find_record(r, f32->work, "bf16", f32->threads);
    printf("| %s%s%s |", f32->work, what == MEMORY ? ", MiB" : "",
           f32->threads == 1 ? ", one thread" : "");
    print_cells(f32, what);
    print_cells(bf16, what);
    if (what == MEMORY)
        print_ratio(f32->memory, bf16 != NULL ? bf16->memory : 0);
    else
        print_ratio(f32->ms, bf16 != NULL ? bf16->ms : 0);
    printf("\n");
}

/* Nothing of a part that was not run. */
static void print_part(const recording *r, const char *part, const char *title, shown what)
{
    bool any = false;
    for (size_t i = 0; i < r->n; i++)
        any = any || strcmp(r->rows[i].part, part) == 0;
    if (!any)
        return;
    printf("\n| %s | f32 | PyTorch | oneDNN | bf16 | PyTorch | oneDNN | bf16 : f32 |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- |\n",
           title);
    for (size_t i = 0; i < r->n; i++) {
        const record *f32 = &r->rows[i];
        if (strcmp(f32->part, part) != 0 || strcmp(f32->dtype, "f32") != 0)
            continue;
        print_line(r, f32, what);
        if (f32->torch_memory > 0)
            print_line(r, f32, MEMORY);
    }
}

void print_markdown(const recording *r)
{
    char processor[LINE / 4];
    processor_of(r->head, processor, sizeof processor);
    int threads = (int)cJSON_GetNumberValue(cJSON_GetObjectItem(r->head, "threads"));
    printf("%s, %s; Ito at commit %s (%s, %s), PyTorch %s, oneDNN %s; %.10s.\n", processor,
           text_of(r->head, "caches", "caches unknown"), text_of(r->head, "commit", "unknown"),
           text_of(r->head, "isa", "unknown"), text_of(r->head, "compiler", "unknown"),
           text_of(r->head, "torch", "none"), text_of(r->head, "onednn", "none"),
           text_of(r->head, "date", "unknown"));
    print_part(r, "steps", "whole steps, ms", MILLISECONDS);
    print_part(r, "gemm", "products, GFLOP/s", RATE);
    print_part(r, "conv", "convolutions 3x3, GFLOP/s", RATE);
    print_part(r, "layers", "layers, ms", MILLISECONDS);
    print_part(r, "small", "small work, us each", RATE);
    print_limits(r, threads);
}
