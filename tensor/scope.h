/* Who owns what: a thread's stack of scopes, and reference counts.
 *
 * A tensor belongs to the scope it was made in and goes when that scope ends, unless someone else
 * holds it: a module its parameters, the graph what backward needs, a caller who took a reference.
 *
 *     ito_scope_begin();
 *     ito_tensor *loss = ...;           // and all that it took to compute it
 *     printf("%g\n", ito_item(loss));
 *     ito_scope_end();                  // all of it goes
 *
 * ITO_SCOPE { ... } does both, and ends the scope where the block is left by return, too.
 *
 * Outside any scope a thread has an outermost one that never ends: what is made there is freed when
 * the thread ends or by ito_scope_clear.
 */
#ifndef ITO_SCOPE_H
#define ITO_SCOPE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A tensor: see tensor.h. */
typedef struct ito_tensor ito_tensor;

/** Open a scope in this thread. */
ITO_API void ito_scope_begin(void);
/** Close the innermost scope and let go of what it owns. Without an open one it does nothing. */
ITO_API void ito_scope_end(void);
/** Let go of everything that the innermost scope owns and leave it open: one call per training
 * step. */
ITO_API void ito_scope_clear(void);
/**
 * Hand t on to the scope around the innermost one: what a function does with its result before it
 * closes its scope. Within the outermost scope it stays there. Does nothing to a tensor that the
 * innermost scope does not own.
 * @return t; NULL if t is NULL.
 */
ITO_API ito_tensor *ito_keep(ito_tensor *t);
/** Take a reference: t lives until the matching ito_release, whatever scopes end. Returns t. */
ITO_API ito_tensor *ito_retain(ito_tensor *t);
/** Give back a reference taken by ito_retain. Accepts NULL. */
ITO_API void ito_release(ito_tensor *t);
/**
 * Hand a reference taken by ito_retain to the innermost scope, which gives it back at its end: what
 * a function does with a tensor that it held and returns.
 * @return t; NULL without memory, and then the reference is given back. Accepts NULL.
 */
ITO_API ito_tensor *ito_adopt(ito_tensor *t);
/**
 * Hold t in place of *held, for a tensor that is carried from step to step: t is retained, what
 * *held was is released. *held is NULL or a tensor that ito_retain or this function took.
 *     ito_tensor *h = NULL;
 *     ito_replace(&h, ito_zeros(ITO_SHAPE(8), ITO_F32));   // before the loop
 *     ito_replace(&h, ito_detach(step(h, x)));             // in each step's scope
 *     ito_release(h);                                      // after it
 * @return ITO_OK; the error that made t NULL, ITO_ERR_ARGUMENT if none did or held is NULL. Then
 * *held is as it was.
 */
ITO_API ito_status ito_replace(ito_tensor **held, ito_tensor *t);

#ifdef __cplusplus
}
#endif

/* A variable of its own name in each line, and what ends the block that it counts once. */
#define ITO_UNIQUE_(name) ITO_UNIQUE_AT_(name, __LINE__)
#define ITO_UNIQUE_AT_(name, line) ITO_JOIN_(name, line)
#define ITO_JOIN_(name, line) name##line

static inline void ito_scope_leave_(int *once)
{
    (void)once;
    ito_scope_end();
}

/** ITO_SCOPE { ... }: a block that is a scope, which ends however the block is left: at its end, by
 * return or by goto. break and continue leave the block, not a loop around it. */
#define ITO_SCOPE                                                                                  \
    for (int ITO_UNIQUE_(ito_scope_)                                                               \
             __attribute__((cleanup(ito_scope_leave_))) = (ito_scope_begin(), 1);                  \
         ITO_UNIQUE_(ito_scope_); ITO_UNIQUE_(ito_scope_) = 0)

#ifndef ITO_BUILD
#define ito_adopt(...) ITO_AT(ito_adopt(__VA_ARGS__))
#define ito_replace(...) ITO_AT(ito_replace(__VA_ARGS__))
#endif

#endif
