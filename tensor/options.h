/* Options of a call: a struct by value, made of defaults and of what the call names.
 *
 *     ito_adam_create(model, .beta1 = 0)
 *
 * Defaults come first, and what the call names replaces them. What you write is what you get: 0
 * means 0. The defaults of `type` are the macro ITO_DEFAULTS_type beside it, a list of
 * initialisers; fields that are not in it start as 0. C++ has designated initialisers from C++20
 * on, with fields named in the order of the struct (GCC and Clang take them in earlier modes, too);
 * there the defaults are member initialisers, ITO_DEFAULT(value). A function that takes the struct
 * itself, ito_adam_create_with, takes every field as it is: start from ITO_OPTIONS(type).
 *
 * It is a plain compound literal, so lists written in it live as long as the block around the call.
 * A statement expression round it would end their lives before the call.
 */
#ifndef ITO_OPTIONS_H
#define ITO_OPTIONS_H

/* That fields are left out, and that one is initialised twice, is the point of it; so no warning
 * about either is due to the caller. This header alone counts as the system's, and with it the
 * braces of ITO_OPTIONS: G++ has no word of missing initialisers then. Whatever stands in the
 * caller's arguments keeps its warnings. A pragma cannot stand within an expression, and a default
 * for each field would be a word on every line of every struct. A field initialised twice is
 * reported (in C) where the caller's own text stands, so that warning is off for whoever includes
 * this. */
#if defined(__GNUC__)
#pragma GCC system_header
#endif

#ifdef __cplusplus
#define ITO_DEFAULT(value) = value
#define ITO_OPTIONS(...) ITO_OPTIONS_(__VA_ARGS__, )
#define ITO_OPTIONS_(type, ...) (type{__VA_ARGS__})
#else
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
#define ITO_DEFAULT(value)
#define ITO_OPTIONS(...) ITO_OPTIONS_(__VA_ARGS__)
#define ITO_OPTIONS_(...) ((ITO_FIRST_(__VA_ARGS__, )){ITO_DEFAULTS_##__VA_ARGS__})
#define ITO_FIRST_(type, ...) type
#endif

/* The arguments, or 0 if there are none: ISO C wants something between the braces of a list. This
 * has to stand in a system header, too: __VA_OPT__ is not in the standard before C23 and C++20. */
#if defined(__cppcheck__) /* which does not know __VA_OPT__ */
#define ITO_SOMETHING_(...) __VA_ARGS__
#else
#define ITO_SOMETHING_(...) ITO_LIST_##__VA_OPT__(GIVEN_)(__VA_ARGS__)
#define ITO_LIST_GIVEN_(...) __VA_ARGS__
#define ITO_LIST_(...) 0
#endif

/* Calls f(arguments, options): a macro with options is
 *     #define ito_sum(...) ITO_AT(ITO_CALL_1(ito_sum_with, ito_reduce_options, __VA_ARGS__, ))
 * for a function with one argument before them, and ITO_CALL_1_OUT if one more follows them. ISO C
 * wants an argument for each `...`, as -pedantic says. That is the empty one at the end; after
 * options it leaves the comma that a list of initialisers may end in. A macro of your own passes on
 * all that it has, `#define total(...) ito_sum(__VA_ARGS__)`, or calls the function with
 * ITO_OPTIONS: nothing after a comma, as in ito_sum(x, ), does not compile. */
#define ITO_CALL_0(f, type, ...) f(ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_1(f, type, a, ...) f(a, ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_2(f, type, a, b, ...) f(a, b, ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_3(f, type, a, b, c, ...) f(a, b, c, ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_4(f, type, a, b, c, d, ...) f(a, b, c, d, ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_5(f, type, a, b, c, d, e, ...) f(a, b, c, d, e, ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_6(f, type, a, b, c, d, e, g, ...)                                                 \
    f(a, b, c, d, e, g, ITO_OPTIONS_(type, __VA_ARGS__))
#define ITO_CALL_3_OUT(f, type, a, b, c, out, ...) f(a, b, c, ITO_OPTIONS_(type, __VA_ARGS__), out)
#define ITO_CALL_4_OUT(f, type, a, b, c, d, out, ...)                                              \
    f(a, b, c, d, ITO_OPTIONS_(type, __VA_ARGS__), out)

#endif
