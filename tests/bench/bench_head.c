/* What was measured, and where: the processor, its limits, the library, and the peers. */
#include "tests/bench/bench_table.h"

#include <math.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- the machine ---- */

/* The value of a line "key : value" of /proc/cpuinfo, of the first processor; or what stands for
 * it. */
static void cpu_info(const char *key, char *value, size_t size, const char *otherwise)
{
    char line[4096];
    size_t length = strlen(key);
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(value, size, "%s", otherwise);
    while (f != NULL && fgets(line, sizeof line, f) != NULL && *line != '\n')
        if (strncmp(line, key, length) == 0 && strspn(line + length, "\t ") > 0 &&
            line[length + strspn(line + length, "\t ")] == ':') {
            const char *at = strchr(line, ':') + 1;
            snprintf(value, size, "%.*s", (int)strcspn(at + strspn(at, " "), "\n"),
                     at + strspn(at, " "));
            break;
        }
    if (f != NULL)
        fclose(f);
}

/* A word of a file of the first processor's cache; "" if there is none. */
static void cache_info(int index, const char *what, char value[32])
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, what);
    FILE *f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%31s", value) != 1)
        *value = '\0';
    if (f != NULL)
        fclose(f);
}

/* "L1 48K, L2 2048K, L3 491520K (of processors 0-1)": those that hold data. */
static void caches(char *text, size_t size)
{
    char level[32], type[32], bytes[32], shared[32];
    size_t n = 0;
    *text = '\0';
    for (int i = 0; i < 8 && n < size; i++) {
        cache_info(i, "level", level);
        cache_info(i, "type", type);
        cache_info(i, "size", bytes);
        cache_info(i, "shared_cpu_list", shared);
        if (*level == '\0' || *bytes == '\0' || strcmp(type, "Instruction") == 0)
            continue;
        n += (size_t)snprintf(text + n, size - n, "%sL%s %s", n > 0 ? ", " : "", level, bytes);
        if (strpbrk(shared, ",-") != NULL && n < size)
            n += (size_t)snprintf(text + n, size - n, " (of processors %s)", shared);
    }
}

/* What a table of docs/performance.md is of: the most that the processor has. */
static const char *kind_of_processor(void)
{
    char flags[4096];
    cpu_info("flags", flags, sizeof flags, "");
    return strstr(flags, "amx_bf16") != NULL      ? "AMX"
           : strstr(flags, "avx512_bf16") != NULL ? "AVX-512 with BF16"
           : strstr(flags, "avx512f") != NULL     ? "AVX-512"
           : strstr(flags, "avx2") != NULL        ? "AVX2"
                                                  : "base";
}

/* ---- the head ---- */

#if defined(__clang__)
static const char compiler[] = "Clang " __clang_version__;
#else
static const char compiler[] = "GCC " __VERSION__;
#endif

static void add_machine(cJSON *head)
{
    char text[256];
    struct utsname system;
    cpu_info("model name", text, sizeof text, uname(&system) == 0 ? system.machine : "unknown");
    cJSON_AddStringToObject(head, "processor", text);
    cpu_info("vendor_id", text, sizeof text, "unknown");
    cJSON_AddStringToObject(head, "vendor", text);
    cpu_info("cpu family", text, sizeof text, "0");
    cJSON_AddNumberToObject(head, "family", atoi(text));
    cpu_info("model", text, sizeof text, "0");
    cJSON_AddNumberToObject(head, "model", atoi(text));
    cJSON_AddStringToObject(head, "kind", kind_of_processor());
    cJSON_AddNumberToObject(head, "processors", (double)sysconf(_SC_NPROCESSORS_ONLN));
    double load = 0;
    if (getloadavg(&load, 1) == 1) /* of the minute before */
        cJSON_AddNumberToObject(head, "load", load);
    caches(text, sizeof text);
    cJSON_AddStringToObject(head, "caches", text);
}

cJSON *head_of_this_run(const options *o)
{
    const char *commit = getenv("ITO_BENCH_COMMIT");
    char date[32];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    cJSON *head = cJSON_CreateObject();
    cJSON_AddNumberToObject(head, "ito_bench", 1); /* the format's version */
    cJSON_AddStringToObject(head, "date", date);
    add_machine(head);
    cJSON_AddStringToObject(head, "isa", ito_isa());
    cJSON_AddNumberToObject(head, "threads", o->threads);
    cJSON_AddStringToObject(head, "compiler", compiler);
    if (commit != NULL && *commit != '\0')
        cJSON_AddStringToObject(head, "commit", commit);
    return head;
}

void add_peer(cJSON *head, const char *peer, const char *version)
{
    cJSON_AddStringToObject(head, peer, version);
}

/* "limits": {KEY: [of one thread, of all], ...}, to a tenth. */
void add_limits(cJSON *head, const limits *l)
{
    limit_line line[LIMITS];
    limit_lines(line, l);
    cJSON *to = cJSON_AddObjectToObject(head, "limits");
    for (int i = 0; i < LIMITS; i++)
        if (line[i].rate.one > 0) {
            const double pair[] = {round(10 * line[i].rate.one) / 10,
                                   round(10 * line[i].rate.all) / 10};
            cJSON_AddItemToObject(to, line[i].key, cJSON_CreateDoubleArray(pair, 2));
        }
}

const char *text_of(const cJSON *object, const char *name, const char *otherwise)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
    return text != NULL ? text : otherwise;
}

void processor_of(const cJSON *head, char *text, size_t size)
{
    snprintf(text, size, "%s (%s, family %g, model %g)", text_of(head, "processor", "unknown"),
             text_of(head, "vendor", "unknown"),
             cJSON_GetNumberValue(cJSON_GetObjectItem(head, "family")),
             cJSON_GetNumberValue(cJSON_GetObjectItem(head, "model")));
}

static void print_head_json(const cJSON *head)
{
    char *text = cJSON_PrintUnformatted(head);
    printf("%s\n", text != NULL ? text : "{}");
    cJSON_free(text);
}

void print_head(const bench *b)
{
    const cJSON *head = b->head;
    if (b->o.json) {
        print_head_json(head);
        return;
    }
    char processor[LINE / 4];
    processor_of(head, processor, sizeof processor);
    printf("processor: %s, %g online\n", processor,
           cJSON_GetNumberValue(cJSON_GetObjectItem(head, "processors")));
    double load = cJSON_GetNumberValue(cJSON_GetObjectItem(head, "load"));
    if (load > 0.5)
        printf("warning: something else is running, %.1f processes in the last minute\n", load);
    printf("kind: %s; caches: %s\n", text_of(head, "kind", "unknown"),
           text_of(head, "caches", "unknown"));
    printf("Ito: commit %s, %s, %s, %d threads\n", text_of(head, "commit", "unknown"),
           text_of(head, "compiler", "unknown"), text_of(head, "isa", "unknown"), b->o.threads);
    printf("PyTorch: %s\n", text_of(head, "torch", "not installed: skipped"));
    printf("oneDNN: %s\n", text_of(head, "onednn", "not installed: skipped"));
    limit_line line[LIMITS];
    limit_lines(line, &b->limits);
    for (int i = 0; i < LIMITS; i++)
        if (line[i].rate.one > 0)
            printf("%-36s %8.1f %s on 1 thread, %.1f on %d\n", line[i].name, line[i].rate.one,
                   line[i].unit, line[i].rate.all, b->o.threads);
    printf("\n%-36s %4s T %9s %8s %-8s %6s %7s %9s %5s %9s %5s\n", "work", "", "ms", "rate", "",
           "share", "spread", "torch ms", "ratio", "oneDNN ms", "ratio");
}
