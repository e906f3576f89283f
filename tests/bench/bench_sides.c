/* The sides of the table: processes that set a row up and run it when asked, one of ours for each
 * row, one of each peer for all. They wait for each other, and their rounds alternate. */
#include "tests/bench/bench_table.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

bool start_side(side *s, char *const *command)
{
    int to[2], from[2]; /* closed by exec: a peer that held another's pipe would keep it waiting */
    if (pipe2(to, O_CLOEXEC) != 0)
        return false;
    if (pipe2(from, O_CLOEXEC) != 0) {
        close(to[0]);
        close(to[1]);
        return false;
    }
    fflush(stdout);
    s->pid = fork();
    if (s->pid == 0) {
        if (command != NULL) {
            dup2(to[0], STDIN_FILENO);
            dup2(from[1], STDOUT_FILENO);
        }
        close(to[1]);
        close(from[0]);
        if (command == NULL) {
            bench_serve(fdopen(to[0], "r"), fdopen(from[1], "w"));
            _exit(0);
        }
        execvp(command[0], command);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    s->to = fdopen(to[1], "w");
    s->from = fdopen(from[0], "r");
    return s->pid > 0 && s->to != NULL && s->from != NULL;
}

void stop_side(side *s)
{
    if (s->to != NULL)
        fclose(s->to);
    if (s->from != NULL)
        fclose(s->from);
    if (s->pid > 0)
        waitpid(s->pid, NULL, 0);
    *s = (side){0};
}

bool ask(side *s, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    bool there = s->to != NULL && vfprintf(s->to, format, list) >= 0 && fflush(s->to) == 0;
    va_end(list);
    there = there && fgets(s->said, sizeof s->said, s->from) != NULL;
    if (!there) {
        stop_side(s);
        snprintf(s->said, sizeof s->said, "skip it ended");
    }
    s->said[strcspn(s->said, "\n")] = '\0';
    return there;
}

/* Seconds of a run, or 0 where the side gives up; pauses first, so that no other side's threads
 * still spin. */
static double run_side(side *s, int runs)
{
    usleep(10000);
    double seconds = ask(s, "run %d\n", runs) ? strtod(s->said, NULL) : 0;
    s->ready = seconds > 0;
    return seconds;
}

/* Few rounds of long runs, since the whole table is to take minutes: ten seconds of a side in all,
 * unless one run takes longer. */
static int rounds_for(double seconds)
{
    return seconds > 5 ? 1 : seconds > 2 ? 2 : seconds > 0.2 ? 3 : ROUNDS;
}

void prepare(side *s, const row *r)
{
    *s = (side){.pid = s->pid, .to = s->to, .from = s->from};
    s->ready =
        ask(s, "setup %d %s %s\n", r->threads, r->dtype, r->spec) && strncmp(s->said, "ok", 2) == 0;
    if (!s->ready)
        return;
    double seconds = strtod(s->said + 2, NULL); /* of a run, if it has warmed up already */
    if (seconds <= 0) {
        seconds = run_side(s, 1);
        if (s->ready && seconds < 0.5)
            seconds = run_side(s, 1);
        if (!s->ready)
            return;
    }
    s->runs = seconds > 0.015 ? 1 : seconds > 1e-5 ? (int)(0.03 / seconds) : 3000;
    s->rounds = rounds_for(seconds);
}

void measure(side sides[SIDES])
{
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < SIDES; i++)
            if (sides[i].ready && round < sides[i].rounds)
                sides[i].seconds[round] = run_side(&sides[i], sides[i].runs);
}

double median(side *s)
{
    qsort(s->seconds, (size_t)s->rounds, sizeof *s->seconds, bench_compare);
    return 0.5 * (s->seconds[s->rounds / 2] + s->seconds[(s->rounds - 1) / 2]);
}

double spread(side *s)
{
    double middle = median(s); /* sorts */
    return (s->seconds[s->rounds - 1] - s->seconds[0]) / middle;
}
