/* Scopes: a thread's stack of lists of tensors, each entry one reference.
 * Invariant: a tensor owned by a scope knows it and its slot there, so that leaving is O(1). */
#include "tensor/scope.h"
#include "tensor/scope_internal.h"

#include <pthread.h>
#include <stdlib.h>

struct scope {
    struct scope *outer;
    ito_tensor **owned; /* holes are NULL */
    int64_t count, capacity;
};

static _Thread_local struct scope *innermost;
static _Thread_local struct scope
    *spare;                            /* closed ones, kept with their lists for the next begin */
static _Thread_local int64_t unopened; /* begins that got no memory: what is made stays outside */
static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

static void scope_empty(struct scope *s)
{
    while (s->count > 0) {
        ito_tensor *t = s->owned[--s->count];
        if (t != NULL) {
            t->scope = NULL;
            ito_release(t);
        }
    }
}

static void scope_pop(void)
{
    struct scope *s = innermost;
    scope_empty(s);
    innermost = s->outer;
    s->outer = spare;
    spare = s;
}

static void pop_all(void *unused)
{
    (void)unused;
    while (innermost != NULL)
        scope_pop();
    while (spare != NULL) {
        struct scope *s = spare;
        spare = s->outer;
        free(s->owned);
        free(s);
    }
}

static void make_key(void)
{
    pthread_key_create(&thread_end, pop_all);
}

/* The main thread runs no key destructors. */
__attribute__((destructor)) static void pop_all_at_exit(void)
{
    pop_all(NULL);
}

/* When none is to spare. That the thread has one makes its end call pop_all. */
static struct scope *scope_create(void)
{
    pthread_once(&thread_end_once, make_key);
    struct scope *s = calloc(1, sizeof *s);
    if (s != NULL)
        pthread_setspecific(thread_end, s);
    return s;
}

static bool scope_push(void)
{
    struct scope *s = spare;
    if (s != NULL)
        spare = s->outer;
    else
        s = scope_create();
    if (s == NULL)
        return false;
    s->outer = innermost;
    innermost = s;
    return true;
}

/* One entry more in s for t; false when there is no memory. */
static bool scope_add(struct scope *s, ito_tensor *t)
{
    if (s->count == s->capacity) {
        int64_t capacity = s->capacity > 0 ? 2 * s->capacity : 32;
        ito_tensor **owned = struct_alloc((size_t)capacity * sizeof *owned);
        if (owned == NULL)
            return false;
        for (int64_t i = 0; i < s->count; i++)
            owned[i] = s->owned[i];
        free(s->owned);
        s->owned = owned;
        s->capacity = capacity;
    }
    t->scope = s;
    t->slot = s->count;
    s->owned[s->count++] = t;
    return true;
}

bool scope_adopt(ito_tensor *t)
{
    if (innermost == NULL && !scope_push())
        return error_false(ITO_ERR_MEMORY, "memory: no memory for a scope");
    return scope_add(innermost, t);
}

void scope_forget(ito_tensor *t)
{
    if (t->scope != NULL)
        t->scope->owned[t->slot] = NULL;
    t->scope = NULL;
}

bool scope_is_innermost(const struct scope *s)
{
    return s != NULL && s == innermost;
}

void ito_scope_begin(void)
{
    if (innermost == NULL && !scope_push()) /* the outermost one, which never ends */
        unopened++;
    else if (!scope_push())
        unopened++;
}

void ito_scope_end(void)
{
    if (unopened > 0)
        unopened--;
    else if (innermost != NULL && innermost->outer != NULL)
        scope_pop();
}

void ito_scope_clear(void)
{
    if (innermost != NULL)
        scope_empty(innermost);
}

ito_tensor *ito_keep(ito_tensor *t)
{
    if (t == NULL || t->scope == NULL || t->scope != innermost || innermost->outer == NULL ||
        unopened > 0)
        return t;
    struct scope *outer = innermost->outer;
    scope_forget(t);
    if (scope_add(outer, t))
        return t;
    ito_release(t);
    return NULL;
}
