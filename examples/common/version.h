/* --version: what a report of a fault has to say of the program. */
#ifndef ITO_EXAMPLES_VERSION_H
#define ITO_EXAMPLES_VERSION_H

/* The commit that the program was built from, set by programs that know it; "" if there is none. */
extern const char *version_commit;

/* "0.2.0 of commit c0ffee". */
const char *version_text(void);
/* Print the program's version, its commit, the instruction set in use and the compiler. */
void version_print(void);

#endif
