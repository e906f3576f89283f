/* Files that are cut short while their pages are in use: the system sends SIGBUS where a page is
 * missing, and nothing can be done but to say so. */
#include "examples/ddpm/mapped_file.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char sentence[600];

static void end_on_missing_page(int signal)
{
    (void)signal;
    ssize_t written = write(STDERR_FILENO, sentence, strlen(sentence));
    (void)written;
    _exit(1);
}

void mapped_file_watch(const char *path)
{
    snprintf(sentence, sizeof sentence,
             "ito-ddpm: %.500s: has become shorter while it was in use\n", path);
    sigaction(SIGBUS, &(struct sigaction){.sa_handler = end_on_missing_page}, NULL);
}
