/* What programs say on stderr. */
#include "examples/common/messages.h"

#include "examples/common/style.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool silent;

void notes_silence(void)
{
    silent = true;
}

bool notes_are_silent(void)
{
    return silent;
}

/* Print the text on one or more lines. Other control characters in it, which names of files may
 * have and which could control the terminal, are shown as '?'. */
static void put(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        return;
    for (char *c = text; *c != '\0'; c++)
        if (((unsigned char)*c < ' ' && *c != '\n') || *c == 127)
            *c = '?';
    fputs(text, stderr);
    free(text);
}

void note(const char *format, ...)
{
    va_list arguments;
    if (silent)
        return;
    va_start(arguments, format);
    put(format, arguments);
    va_end(arguments);
}

command_name command_name_of(const char *command)
{
    command_name name;
    snprintf(name.text, sizeof name.text, "%s%s%s", program_invocation_short_name,
             command[0] != '\0' ? " " : "", command);
    return name;
}

static bool held;
static char kept[1000];
static const char *kept_command = "";

void complaints_hold(void)
{
    held = true;
}

bool complaints_are_held(void)
{
    return held;
}

const char *complaint_held(void)
{
    return kept;
}

void complain_list(const char *command, const char *format, va_list arguments)
{
    if (held) {
        if (kept[0] == '\0')
            vsnprintf(kept, sizeof kept, format, arguments);
        kept_command = command;
        return;
    }
    fprintf(stderr, "%s%s:%s ", style(stderr, STYLE_ERROR), command_name_of(command).text,
            style(stderr, STYLE_PLAIN));
    put(format, arguments);
    fputc('\n', stderr);
}

void complaint_release(const char *who)
{
    held = false;
    if (kept[0] != '\0')
        complain(kept_command, "%s: %s", who, kept);
}

void complain(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_list(command, format, arguments);
    va_end(arguments);
}
