/* What the table looks like, for people and as JSON: a line for a row, and what workers tell beside
 * the time. */
#include "tests/bench/bench_table.h"

static const char *const side_name[SIDES] = {"ito", "torch", "onednn"};
static const char *const json_prefix[SIDES] = {"", "torch_", "onednn_"};
static const char *const unit_name[] = {"GFLOP/s", "GB/s", "images/s", "us each"};

static double share_of(const row *r, const limits *l, double seconds)
{
    const rate_pair *of = strcmp(r->dtype, "bf16") == 0 ? &l->bf16 : &l->f32;
    double peak = r->threads == 1 ? of->one : of->all;
    const bench_bandwidth *memory = r->threads == 1 ? &l->memory_one : &l->memory;
    if (r->unit == GBS)
        return memory->best > 0 ? 1e-9 * r->amount / seconds / memory->best : 0;
    double flop = r->unit == GFLOPS ? r->amount : r->flop;
    return peak > 0 ? 1e-9 * flop / seconds / peak : 0;
}

static double rate_of(const row *r, double seconds)
{
    if (r->unit == MICROSECONDS)
        return 1e6 * seconds / r->amount;
    return (r->unit == IMAGES ? 1.0 : 1e-9) * r->amount / seconds;
}

/* Why the side has no time for the row; NULL if it has one, or the row is none of its own. */
static const char *skipped(const side *s)
{
    static const char skip[] = "skip ";
    bool says = !s->ready && strncmp(s->said, skip, strlen(skip)) == 0;
    return says ? s->said + strlen(skip) : NULL;
}

/* ---- JSON --------------------------------------------------------------------------------------
 */

/* "k=v k=v" as members of a JSON object, with a prefix to each name. */
static void print_stat_json(const char *prefix, const char *stat)
{
    char name[64];
    double value;
    int length;
    while (sscanf(stat, " %63[^= ]=%lf%n", name, &value, &length) == 2) {
        printf(", \"%s%s\": %g", prefix, name, value);
        stat += length;
    }
}

static void print_skipped_json(const char *prefix, const char *reason)
{
    printf(", \"%sskipped\": \"", prefix);
    for (const char *at = reason; *at != '\0'; at++)
        if ((unsigned char)*at >= ' ')
            printf(*at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    printf("\"");
}

static void print_json(const row *r, side sides[SIDES], const limits *l)
{
    printf(
        "{\"part\": \"%s\", \"work\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, \"isa\": \"%s\"",
        r->part, r->name, r->dtype, r->threads, ito_isa());
    if (sides[OURS].ready) {
        double s = median(&sides[OURS]);
        printf(
            ", \"ms\": %.6g, \"rate\": %.6g, \"unit\": \"%s\", \"share\": %.3f, \"spread\": %.3f",
            1e3 * s, rate_of(r, s), unit_name[r->unit], share_of(r, l, s), spread(&sides[OURS]));
    }
    for (int i = TORCH; i < SIDES; i++)
        if (sides[i].ready) {
            printf(", \"%sms\": %.6g", json_prefix[i], 1e3 * median(&sides[i]));
            if (sides[OURS].ready)
                printf(", \"%sratio\": %.3f", json_prefix[i],
                       median(&sides[i]) / median(&sides[OURS]));
        }
    for (int i = 0; i < SIDES; i++)
        if (skipped(&sides[i]) != NULL)
            print_skipped_json(json_prefix[i], skipped(&sides[i]));
        else if (sides[i].ready && ask(&sides[i], "stat\n"))
            print_stat_json(json_prefix[i], sides[i].said);
    printf("}\n");
}

/* ---- for people --------------------------------------------------------------------------------
 */

/* Shares in percent, those of nothing left out. */
static void print_stat(const char *whose, const char *stat)
{
    static const char share[] = "share_";
    char name[64];
    double value;
    int length;
    printf("    %s:", whose);
    while (sscanf(stat, " %63[^= ]=%lf%n", name, &value, &length) == 2) {
        if (strncmp(name, share, strlen(share)) != 0)
            printf(" %s %.0f", name, value);
        else if (value >= 0.0005)
            printf(" %s %.1f%%", name + strlen(share), 100 * value);
        stat += length;
    }
    printf("\n");
}

static void print_table(const row *r, side sides[SIDES], const limits *l)
{
    printf("%-36s %4s %d", r->name, r->dtype, r->threads);
    if (!sides[OURS].ready) {
        printf("  skipped: %s\n", skipped(&sides[OURS]) != NULL ? skipped(&sides[OURS]) : "");
        return;
    }
    double s = median(&sides[OURS]);
    printf(" %9.3f %8.2f %-8s ", 1e3 * s, rate_of(r, s), unit_name[r->unit]);
    if (r->unit == MICROSECONDS)
        printf("%6s", "-");
    else
        printf("%5.1f%%", 100 * share_of(r, l, s));
    printf(" %6.1f%%", 100 * spread(&sides[OURS]));
    for (int i = TORCH; i < SIDES; i++)
        if (sides[i].ready)
            printf(" %9.3f %5.2f", 1e3 * median(&sides[i]), median(&sides[i]) / s);
        else
            printf(" %9s %5s", "-", "-");
    printf("\n");
    for (int i = 0; i < SIDES; i++)
        if (sides[i].ready && ask(&sides[i], "stat\n") && sides[i].said[0] != '\0')
            print_stat(side_name[i], sides[i].said);
        else if (skipped(&sides[i]) != NULL)
            printf("    %s: skipped: %s\n", side_name[i], skipped(&sides[i]));
}

/* ---- what others call --------------------------------------------------------------------------
 */

void print_row(bench *b, const row *r)
{
    if (b->o.json)
        print_json(r, b->sides, &b->limits);
    else
        print_table(r, b->sides, &b->limits);
}

/* The row before was this one on a thread, or in f32. */
static const char *gained_by(const bench *b, const row *r)
{
    bool same = strcmp(b->before, r->name) == 0 && b->before_seconds > 0;
    bool threads = b->before_threads == 1 && r->threads > 1;
    bool narrow = strcmp(b->before_dtype, "f32") == 0 && strcmp(r->dtype, "bf16") == 0;
    return same && threads && !narrow ? "threads" : same && narrow && !threads ? "bf16" : NULL;
}

void print_gain(bench *b, const row *r)
{
    double seconds = b->sides[OURS].ready ? median(&b->sides[OURS]) : 0;
    const char *gained = *b->before != '\0' ? gained_by(b, r) : NULL;
    double gain = seconds > 0 ? b->before_seconds / seconds : 0;
    if (gain > 0 && gained != NULL && b->o.json)
        printf("{\"part\": \"%s\", \"work\": \"%s\", \"dtype\": \"%s\", \"threads\": %d, "
               "\"gain_by\": \"%s\", \"gain\": %.3f}\n",
               r->part, r->name, r->dtype, r->threads, gained, gain);
    else if (gain > 0 && gained != NULL && strcmp(gained, "bf16") == 0)
        printf("    bf16 instead of f32: %.2f times as fast\n", gain);
    else if (gain > 0 && gained != NULL)
        printf("    %d threads instead of one: %.2f times as fast\n", r->threads, gain);
    snprintf(b->before, sizeof b->before, "%s", r->name);
    b->before_dtype = r->dtype;
    b->before_threads = r->threads;
    b->before_seconds = seconds;
}
