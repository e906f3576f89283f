/* Man pages in roff, for man(7).
 * Invariant: text of the tables stands in lines of text, escaped; none of it can be a request. */
#include "examples/common/man_page.h"

#include "examples/common/messages.h"
#include "examples/common/options_help.h"
#include "examples/common/results.h"

#include <errno.h>
#include <ito/tensor/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

static void put_escaped(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        static const char *const escapes[] = {"\\\\e",  "-\\-",   "^\\(ha",
                                              "~\\(ti", "`\\(ga", "'\\(aq"};
        const char *escape = NULL;
        for (size_t k = 0; k < sizeof escapes / sizeof escapes[0]; k++)
            if (text[i] == escapes[k][0])
                escape = escapes[k] + 1;
        if (escape != NULL)
            fputs(escape, stdout);
        else
            putchar(text[i]);
    }
}

/* A line of text; what it begins with is no request. */
static void put_line(const char *text, size_t length)
{
    fputs("\\&", stdout);
    put_escaped(text, length);
    putchar('\n');
}

static void put_text(const char *text)
{
    put_line(text, strlen(text));
}

/* Lines that begin with a space are examples, others paragraphs. */
static void put_paragraphs(const char *text)
{
    bool example = false;
    for (; *text != '\0'; text += *text == '\n') {
        size_t length = strcspn(text, "\n"), spaces = strspn(text, " ");
        if (length > 0 && (spaces > 0) != example)
            puts(example ? ".fi\n.RE" : ".PP\n.RS 2\n.nf");
        if (length > 0) {
            example = spaces > 0;
            if (!example)
                puts(".PP");
            put_line(text + spaces, length - spaces);
        }
        text += length;
    }
    if (example)
        puts(".fi\n.RE");
}

/* "ito-ddpm-train" */
static void put_page_name(const char *command)
{
    const char *name = program_invocation_short_name;
    put_escaped(name, strlen(name));
    if (command[0] != '\0')
        fputs("\\-", stdout);
    put_escaped(command, strlen(command));
}

static void put_head(const char *command, const char *doc, size_t length)
{
    fputs(".TH \"", stdout);
    put_page_name(command);
    printf("\" 1 \"\" \"Ito %s\" \"Ito\"\n.SH NAME\n", ito_version());
    put_page_name(command);
    printf(" \\- ");
    put_escaped(doc, length);
    fputs("\n.SH SYNOPSIS\n", stdout);
}

/* ---- a command ---- */

static void put_row(const command_line *c, const option_row *o)
{
    char *metavar = help_metavar(o), *help = help_of_row(c, o);
    printf(".TP\n\\fB\\-\\-");
    put_escaped(o->name, strlen(o->name));
    printf("\\fR");
    if (metavar != NULL) {
        printf(" \\fI");
        put_escaped(metavar, strlen(metavar));
        printf("\\fR");
    }
    putchar('\n');
    put_text(help != NULL ? help : o->help);
    free(metavar);
    free(help);
}

static void put_rows(const command_line *c, const option_row *rows)
{
    for (const option_row *o = rows; o->type != OPTION_END; o++) {
        if (o->type != OPTION_GROUP) {
            put_row(c, o);
            continue;
        }
        puts(".SS");
        put_text(o->help);
    }
}

static void put_choices(const command_line *c)
{
    const ito_choice *choice;
    bool first = true;
    for (const option_row *o = c->options; o->type != OPTION_END; o++) {
        if (choices_at(&o->choices, 0) == NULL)
            continue;
        printf("%s.SS \"Choices of \\-\\-%s\"\n", first ? ".SH CHOICES\n" : "", o->name);
        first = false;
        for (int64_t i = 0; (choice = choices_at(&o->choices, i)) != NULL; i++) {
            char *help = help_of_choice(choice);
            printf(".TP\n.B ");
            put_text(choice->name);
            put_text(help != NULL ? help : choice->help);
            free(help);
        }
    }
}

static void put_see_also(const char *command)
{
    const char *before = "";
    printf(".SH SEE ALSO\n");
    if (command[0] != '\0') {
        printf(".BR ");
        put_page_name("");
        puts(" (1)");
        return;
    }
    for (const program_command *c = program_running()->commands; c->name != NULL; c++) {
        if (c->doc == NULL)
            continue;
        printf("%s.BR ", before);
        put_page_name(c->name);
        printf(" (1)");
        before = ",\n";
    }
    putchar('\n');
}

/* What the program's table says of the command; its own words where there is no table. */
static const char *doc_of_command(const command_line *c)
{
    if (program_running() == NULL)
        return c->doc;
    const program_command *named = program_running()->commands;
    while (named->name != NULL && strcmp(named->name, c->command) != 0)
        named++;
    return named->doc != NULL ? named->doc : "";
}

void man_page_of_command(const command_line *c)
{
    const char *after = strchr(c->doc, '\v'), *doc = doc_of_command(c);
    put_head(c->command, doc, strcspn(doc, "\v"));
    fputs(".B ", stdout);
    put_escaped(program_invocation_short_name, strlen(program_invocation_short_name));
    printf("%s%s\n[\\fIOPTION\\fR...]", c->command[0] != '\0' ? " " : "", c->command);
    if (c->arguments != NULL) {
        printf(" \\fI");
        put_escaped(c->arguments, strlen(c->arguments));
        printf("\\fR");
    }
    puts("\n.SH DESCRIPTION");
    put_line(c->doc, strcspn(c->doc, "\v"));
    puts(".SH OPTIONS");
    put_rows(c, c->options);
    put_rows(c, options_of_all);
    put_choices(c);
    if (after != NULL) {
        puts(".SH NOTES");
        put_paragraphs(after + 1);
    }
    if (program_running() != NULL)
        put_see_also(c->command);
}

/* ---- the program ---- */

static void put_program(const program *p)
{
    put_head("", p->doc, strlen(p->doc));
    fputs(".B ", stdout);
    put_escaped(program_invocation_short_name, strlen(program_invocation_short_name));
    puts("\n\\fICOMMAND\\fR [\\fIOPTION\\fR...]\n.SH COMMANDS");
    for (const program_command *c = p->commands; c->name != NULL; c++) {
        if (c->doc == NULL)
            continue;
        printf(".TP\n.B ");
        put_text(c->name);
        put_text(c->doc);
    }
    if (p->after != NULL) {
        puts(".SH NOTES");
        put_paragraphs(p->after);
    }
    put_see_also("");
}

static void put_command(const command_line *c, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    man_page_of_command(c);
}

int man_page_print(const char *name)
{
    if (name == NULL) {
        put_program(program_running());
        return results_end("man", true);
    }
    const program_command *command = program_find(program_running(), name);
    if (command == NULL)
        return EXIT_USAGE;
    options_parse_prints(put_command);
    return command->run(1, (char *[]){(char *)command->name, NULL});
}

int man_page_command(int argc, char **argv)
{
    return man_page_print(argc > 1 ? argv[1] : NULL);
}
