/* A program with commands: "ito-ddpm train ..." calls the command's function with what follows. */
#ifndef ITO_EXAMPLES_PROGRAM_H
#define ITO_EXAMPLES_PROGRAM_H

typedef struct program_command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name; the exit code */
    const char *doc;                   /* in --help; NULL: not shown */
} program_command;

typedef struct program {
    const char *doc;                 /* a sentence */
    const char *after;               /* behind the commands in --help, or NULL */
    const program_command *commands; /* closed by {NULL} */
} program;

/* Run what the command line says: a command, help, --version. The exit code. */
int program_run(const program *p, int argc, char **argv);
/* The program that runs, for commands that are about all of them. */
const program *program_running(void);
/* The command of this name; or NULL after a complaint, which proposes the nearest. */
const program_command *program_find(const program *p, const char *name);
/* What program_run prints for --help. */
void program_print_help(const program *p);

#endif
