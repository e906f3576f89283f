/* ito-ddpm list: the runs below a directory.
 * Invariant: a run that is damaged is listed as such and stops nothing. */
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/runs.h"

#include <dirent.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct list_options {
    bool json;
} list_options;

#define AT(field) offsetof(list_options, field)

static const option_row rows[] = {
    FLAG_ROW("json", json, "Print one JSON object"),
    END_ROW,
};

static const char doc[] =
    "List the runs in a directory and those below it: how far each is, its loss, time and speed, "
    "the settings in which they differ, and what eval found of them. DIR is runs, if there is "
    "such a directory, or this one."
    "\v"
    "Examples:\n"
    "  ito-ddpm list\n"
    "  ito-ddpm list experiments --json\n\n"
    "States: done; stopped: to be resumed; training: by a process that runs now; begun: without a "
    "checkpoint; damaged: with what is wrong.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

/* ---- finding them ---- */

/* Two of the names that a run has: a config.json alone may be of anything. */
static bool looks_like_run(const char *dir)
{
    static const char *const names[] = {"config.json", "lock", "log.jsonl", "checkpoints",
                                        "samples"};
    int found = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        found += path_has(dir, names[i]);
    return found >= 2;
}

/* A directory itself, and no link to one, which could lead in a circle. */
static bool is_plain_directory(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Add dir, if it is a run, or the runs below it, where directories that cannot be read are passed
 * over. */
static bool find_below(run_list *list, const char *dir, bool top)
{
    if (looks_like_run(dir))
        return run_list_add(list, dir);
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, NULL, by_name);
    if (n < 0 && top)
        return path_failed(dir, "list it");
    bool good = true;
    for (int i = 0; i < n; i++) {
        char *path = entries[i]->d_name[0] != '.' ? path_join(dir, entries[i]->d_name) : NULL;
        if (good && path != NULL && is_plain_directory(path))
            good = find_below(list, path, false);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return good;
}

/* ---- the command ---- */

/* A copy without slashes at its end. */
static char *without_slash(const char *dir)
{
    char *copy = strdup(dir);
    for (size_t n = strlen(dir); copy != NULL && n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    if (copy == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory to list it", dir);
    return copy;
}

static int print(const run_list *list, const char *dir, bool json)
{
    cJSON *differing = runs_differing(list);
    if (json) {
        cJSON *root = runs_describe(list, differing);
        cJSON_Delete(differing);
        return results_print_json("list", root);
    }
    runs_print(stdout, list, differing, dir);
    cJSON_Delete(differing);
    if (list->n == 0)
        note("there are no runs in %s\n", dir);
    return results_end("list", true);
}

int command_list(int argc, char **argv)
{
    list_options o = {.json = false};
    command_line c = {
        .command = "list", .arguments = "[DIR]", .doc = doc, .options = rows, .values = &o};
    options_parse(&c, argc, argv);
    char *dir = without_slash(c.argument != NULL          ? c.argument
                              : path_is_directory("runs") ? "runs"
                                                          : ".");
    run_list list = {.n = 0};
    int code = dir != NULL && find_below(&list, dir, true) ? print(&list, dir, o.json)
                                                           : options_report("list");
    run_list_free(&list);
    free(dir);
    return code;
}
