/* What programs say on stderr. */
#include "examples/common/messages.h"

#include "examples/common/style.h"

#include <errno.h>
#include <stdio.h>

static bool silent;

void notes_silence(void)
{
    silent = true;
}

bool notes_are_silent(void)
{
    return silent;
}

void note(const char *format, ...)
{
    va_list arguments;
    if (silent)
        return;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

command_name command_name_of(const char *command)
{
    command_name name;
    snprintf(name.text, sizeof name.text, "%s%s%s", program_invocation_short_name,
             command[0] != '\0' ? " " : "", command);
    return name;
}

void complain_list(const char *command, const char *format, va_list arguments)
{
    fprintf(stderr, "%s%s:%s ", style(stderr, STYLE_ERROR), command_name_of(command).text,
            style(stderr, STYLE_PLAIN));
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void complain(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_list(command, format, arguments);
    va_end(arguments);
}
