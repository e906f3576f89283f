/* The name that a mistyped one may have meant.
 * Invariant: what is proposed begins with the word or is its end, or differs from it by one edit
 * and one more for every four letters. */
#include "examples/common/nearest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 48 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many letters to insert, delete, replace or swap with their neighbour until a is b ("optimal
 * string alignment"). Both are at most LONGEST letters. */
static int edits(const char *a, const char *b)
{
    int d[LONGEST + 1][LONGEST + 1], m = (int)strlen(a), n = (int)strlen(b);
    for (int i = 0; i <= m; i++)
        for (int j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
                            d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[m][n];
}

/* Whether the word is "sampling-steps", and the name "steps". */
static bool is_end(const char *name, const char *word)
{
    size_t length = strlen(word), end = strlen(name);
    return length > end + 1 && word[length - end - 1] == '-' &&
           strcmp(word + length - end, name) == 0;
}

void nearest_try(nearest *n, const char *name)
{
    size_t length = strlen(n->word);
    if (length == 0 || length > LONGEST || strlen(name) > LONGEST)
        return;
    int distance = edits(n->word, name);
    if (strncmp(name, n->word, length) == 0)
        distance = 1; /* an abbreviation */
    else if (is_end(name, n->word))
        distance = 2;
    else if (distance > 1 + (int)length / 4 || distance >= (int)strlen(name))
        return;
    if (n->name != NULL && distance >= n->distance)
        return;
    n->name = name;
    n->distance = distance;
}

const char *nearest_question(const nearest *n, const char *before, char text[128])
{
    text[0] = '\0';
    if (n->name != NULL)
        snprintf(text, 128, "; did you mean %s%s?", before, n->name);
    return text;
}
