/* What programs say on stderr: notes, which --quiet silences, and complaints. */
#ifndef ITO_EXAMPLES_MESSAGES_H
#define ITO_EXAMPLES_MESSAGES_H

#include <stdarg.h>
#include <stdbool.h>

/* Print a note, with its line feeds; nothing after notes_silence. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void notes_silence(void);
bool notes_are_silent(void);

/* Print "ito-ddpm train: MESSAGE" and a line feed; command may be "". */
void complain(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
void complain_list(const char *command, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
/* From now on keep complaints in place of printing them. */
void complaints_hold(void);
bool complaints_are_held(void);
/* The first that was kept; "" if there is none. */
const char *complaint_held(void);
/* Print it, with who else than usual says so: "ito-ddpm train: rank 2: MESSAGE". */
void complaint_release(const char *who);
/* "ito-ddpm train", or "ito-toy" for the command "". */
typedef struct command_name {
    char text[64];
} command_name;
command_name command_name_of(const char *command);

#endif
