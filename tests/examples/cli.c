/* Running ito-ddpm from tests. */
#include "tests/examples/cli.h"

#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"
#include "tests/temporary.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <pty.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *directory;

void write_npy(const char *path, ito_tensor *t)
{
    cr_assert_eq(ito_npy_save(path, t), ITO_OK, "%s", ito_error());
}

void write_images(const char *path, int64_t n, int64_t side)
{
    ito_generator g = ito_generator_make(1, 1);
    write_npy(path, ito_randint(&g, 0, 256, ITO_SHAPE(n, 1, side, side), ITO_U8));
}

void cli_enter(void)
{
    cr_assert_not_null(getenv("ITO_DDPM"), "ITO_DDPM names the program");
    directory = temporary_directory();
    cr_assert_eq(chdir(directory), 0);
    setenv("OMP_WAIT_POLICY", "passive", 1);
    setenv("XDG_CACHE_HOME", directory, 1);
    write_images("data.npy", 40, 8);
}

void cli_leave(void)
{
    cr_assert_eq(system("chmod -R u+rwx ."), 0); /* what a test has closed */
    remove_tree(directory);
}

char said[65536], complained[65536];
const char *program = "ito-ddpm";

void slurp(const char *path, char *out, size_t room)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    out[fread(out, 1, room - 1, f)] = '\0';
    fclose(f);
}

int run_shell(const char *commands)
{
    char whole[4200];
    snprintf(whole, sizeof whole, "{ %.4100s\n} >stdout.txt 2>stderr.txt </dev/null", commands);
    int status = system(whole);
    slurp("stdout.txt", said, sizeof said);
    slurp("stderr.txt", complained, sizeof complained);
    cr_assert(WIFEXITED(status), "%s", commands);
    return WEXITSTATUS(status);
}

int run(const char *format, ...)
{
    char arguments[2048], command[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "\"${ITO_DDPM%%/*}/%s\" %s", program, arguments);
    return run_shell(command);
}

int run_in_terminal(const char *term, const char *command, const char *keys)
{
    int terminal, status;
    size_t n = 0;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    cr_assert(child >= 0);
    if (child == 0) {
        setenv("TERM", term, 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    cr_assert_eq(write(terminal, keys, strlen(keys)), (ssize_t)strlen(keys));
    for (ssize_t got; (got = read(terminal, said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = '\0';
    close(terminal);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "%s", command);
    return WEXITSTATUS(status);
}

void succeeds(int code)
{
    cr_assert_eq(code, 0, "exit code %d: %s", code, complained);
}

int count_lines(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* How far it was, which a slow machine is told, is nothing to complain of. */
static void drop_progress(char *text)
{
    char *to = text, *next;
    for (char *line = text; *line != '\0'; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        size_t n = (size_t)(next - line);
        if (n >= 6 && memcmp(next - 6, " left\n", 6) == 0)
            continue;
        memmove(to, line, n);
        to += n;
    }
    *to = '\0';
}

void fails_with(int code, const char *words)
{
    drop_progress(complained);
    cr_assert_eq(code, 1, "exit code %d: %s", code, complained);
    cr_assert_not_null(strstr(complained, words), "\"%s\" is not in: %s", words, complained);
    cr_assert_eq(count_lines(complained), 1, "%s", complained);
    cr_assert_null(strstr(complained, "(null)"));
}

bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

bool same_file(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "cmp -s '%s' '%s'", a, b);
    return system(command) == 0;
}

void same_directory(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "diff -r '%s' '%s'", a, b);
    cr_assert_eq(system(command), 0, "%s", command);
}

void write_class(const char *dir, int n, int64_t side, int grey)
{
    char text[64];
    snprintf(text, sizeof text, "mkdir -p %s", dir);
    cr_assert_eq(system(text), 0);
    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s/%d.png", dir, i);
        cr_assert_eq(ito_png_save(text, ito_full(ITO_SHAPE(1, side, side), grey, ITO_U8)), ITO_OK);
    }
}

void write_classes(void)
{
    write_class("photos/cat", 3, 8, 0);
    write_class("photos/dog", 3, 8, 255);
}

void write_idx(const char *path, const ito_tensor *t)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fprintf(f, "%c%c\x08%c", 0, 0, ito_ndim(t));
    for (int i = 0; i < ito_ndim(t); i++)
        fprintf(f, "%c%c%c%c", 0, 0, (int)(ito_size(t, i) >> 8), (int)(ito_size(t, i) & 255));
    fwrite(ito_const_data(t), 1, (size_t)ito_numel(t), f);
    cr_assert_eq(fclose(f), 0);
}

void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    cr_assert_eq(fclose(f), 0);
}

void train_tiny(const char *out, const char *more)
{
    succeeds(run("train --data npy:data.npy --out %s " TINY " %s", out, more));
}

void is_usage_error(const char *arguments, const char *words)
{
    int code = run("%s", arguments);
    cr_assert_eq(code, 2, "%s: exit code %d", arguments, code);
    cr_assert_not_null(strstr(complained, words), "%s: \"%s\" is not in: %s", arguments, words,
                       complained);
    char usage[32];
    snprintf(usage, sizeof usage, "Usage: %s", program);
    cr_assert_not_null(strstr(complained, usage), "%s", complained);
    cr_assert_str_empty(said);
}

double number(const char *name)
{
    cJSON *root = cJSON_Parse(said);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    cr_assert(cJSON_IsNumber(item), "%s is not in: %s%s", name, said, complained);
    double value = item->valuedouble;
    cJSON_Delete(root);
    return value;
}

int newest(void)
{
    int step = -1;
    DIR *d = opendir("r/checkpoints");
    cr_assert_not_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        int n = -1, end = 0;
        if (sscanf(e->d_name, "step-%d%n", &n, &end) == 1 && e->d_name[end] == '\0' && n > step)
            step = n;
    }
    closedir(d);
    return step;
}
