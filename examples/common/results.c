/* The results of a command, printed on stdout. Invariant: a result that could not be printed in
 * full is an exit code of 1. */
#include "examples/common/results.h"

#include "examples/common/messages.h"
#include "examples/common/progress.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool result_text(cJSON *root, const char *name, const char *value)
{
    return value == NULL || cJSON_AddStringToObject(root, name, value) != NULL;
}

bool result_number(cJSON *root, const char *name, double value)
{
    return cJSON_AddNumberToObject(root, name, value) != NULL;
}

/* Whether stdout is a pipe that nobody reads any more: info RUN | head. */
static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

int results_end(const char *command, bool good)
{
    if (good && fflush(stdout) == 0 && ferror(stdout) == 0)
        return 0;
    if (reader_is_gone())
        return 128 + SIGPIPE; /* as if it had not been ignored */
    complain(command, "stdout: cannot write to it");
    return 1;
}

int results_print_json(const char *command, cJSON *root)
{
    char *text = cJSON_PrintUnformatted(root);
    bool good = text != NULL && printf("%s\n", text) > 0;
    free(text);
    cJSON_Delete(root);
    return results_end(command, good);
}

int results_print(const char *command, cJSON *root, double started, bool json)
{
    /* The last member: if it was added, so were all before it. */
    bool good = result_number(root, "seconds", progress_clock() - started);
    if (good && json)
        return results_print_json(command, root);
    const cJSON *item;
    if (good)
        cJSON_ArrayForEach(item, root)
        {
            if (cJSON_IsString(item))
                printf("%s: %s\n", item->string, item->valuestring);
            else
                printf("%s: %.6g\n", item->string, item->valuedouble);
        }
    cJSON_Delete(root);
    return results_end(command, good);
}

void say_where(int64_t n, const char *one, const char *several, const char *path)
{
    if (path != NULL)
        note("%" PRId64 " %s in %s\n", n, n == 1 ? one : several, path);
}
