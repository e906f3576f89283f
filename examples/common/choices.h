/* The values that an option with a fixed list of choices may have, for checks, messages and help.
 */
#ifndef ITO_EXAMPLES_CHOICES_H
#define ITO_EXAMPLES_CHOICES_H

#include <ito/tensor/base.h>

/* One of these is set. A name that ends like "mnist:DIR" stands for any text after the colon. */
typedef struct choice_list {
    const char *words; /* "yes|no" */
    const char *kind;  /* a kind of choices of the library */
    const ito_choice *const *(*list)(const char *kind, int64_t *n); /* with kind: ito_choices */
    const ito_choice *const *own; /* the program's, closed by NULL */
    /* Whether the option accepts this one of the list; NULL: all. */
    bool (*accepts)(const ito_choice *choice);
} choice_list;

/* Whether text is one of the choices. */
bool choices_have(const choice_list *list, const char *text);
/* The choice that text names, or NULL; always NULL for a list of words. */
const ito_choice *choices_find(const choice_list *list, const char *text);
/* Choice i of a list that is not of words, or NULL after the last one; those that the option does
 * not accept are left out. */
const ito_choice *choices_at(const choice_list *list, int64_t i);
/* "a|b|c", cut to size; text. */
const char *choices_words(const choice_list *list, char *text, size_t size);
/* "; did you mean ddim?" for a text that is none of the choices, or ""; question. */
const char *choices_question(const choice_list *list, const char *text, char question[128]);
/* Whether word is one of those in "a|b|c". */
bool words_have(const char *words, const char *word);

#endif
