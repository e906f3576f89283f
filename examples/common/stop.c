/* Stopping by a signal. The handler writes one flag and, the second time, restores the default. */
#include "examples/common/stop.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static volatile sig_atomic_t requested;
static bool agrees;
static int agreed;

static void note(int signal_number)
{
    if (requested != 0) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
    requested = signal_number;
}

void stop_on_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        /* A program started with nohup continues to ignore SIGHUP. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

int stop_signal(void)
{
    return agrees ? agreed : requested;
}

void stop_together(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    agrees = true;
}

int stop_requested(void)
{
    return requested;
}

void stop_agree(int signal_number)
{
    agreed = signal_number;
}
