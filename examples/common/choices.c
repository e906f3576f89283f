/* The values that an option with a fixed list of choices may have. */
#include "examples/common/choices.h"

#include "examples/common/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool words_have(const char *words, const char *word)
{
    size_t length = strlen(word);
    while (words != NULL) {
        size_t n = strcspn(words, "|");
        if (n == length && memcmp(words, word, n) == 0)
            return true;
        words = words[n] == '|' ? words + n + 1 : NULL;
    }
    return false;
}

const ito_choice *choices_at(const choice_list *list, int64_t i)
{
    int64_t n = INT64_MAX;
    const ito_choice *const *all = list->kind != NULL ? list->list(list->kind, &n) : list->own;
    for (int64_t k = 0; all != NULL && k < n && all[k] != NULL; k++)
        if ((list->accepts == NULL || list->accepts(all[k])) && i-- == 0)
            return all[k];
    return NULL;
}

/* "mnist:/data" is "mnist:DIR", "mnist:" is not. */
static bool is_choice(const ito_choice *choice, const char *text)
{
    size_t kind = strcspn(choice->name, ":");
    if (choice->name[kind] == '\0')
        return strcmp(choice->name, text) == 0;
    return strncmp(choice->name, text, kind + 1) == 0 && text[kind + 1] != '\0';
}

const ito_choice *choices_find(const choice_list *list, const char *text)
{
    const ito_choice *choice = NULL;
    for (int64_t i = 0; (choice = choices_at(list, i)) != NULL; i++)
        if (is_choice(choice, text))
            break;
    return choice;
}

bool choices_have(const choice_list *list, const char *text)
{
    return list->words != NULL ? words_have(list->words, text) : choices_find(list, text) != NULL;
}

const char *choices_words(const choice_list *list, char *text, size_t size)
{
    const ito_choice *choice;
    snprintf(text, size, "%s", list->words != NULL ? list->words : "");
    for (int64_t i = 0; (choice = choices_at(list, i)) != NULL; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i > 0 ? "|" : "", choice->name);
    }
    return text;
}

const char *choices_question(const choice_list *list, const char *text, char question[128])
{
    const ito_choice *choice;
    nearest n = {.word = text};
    char *words = list->words != NULL ? strdup(list->words) : NULL, *rest = words;
    while (rest != NULL)
        nearest_try(&n, strsep(&rest, "|"));
    for (int64_t i = 0; (choice = choices_at(list, i)) != NULL; i++)
        nearest_try(&n, choice->name);
    nearest_question(&n, "", question);
    free(words);
    return question;
}
