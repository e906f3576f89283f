/* Names of earlier versions. A program that uses one does not compile, and the message has the name
 * of today; CHANGELOG.md explains. A line each, in the order of the alphabet:
 *     #define ito_old ITO_RENAMED(ito_old, ito_new)
 *     #define ito_old ITO_REMOVED(ito_old)
 */
#ifndef ITO_RENAMED_H
#define ITO_RENAMED_H

#define ITO_RENAMED(old, new) ITO_COMPILE_ERROR(old is now new, see CHANGELOG.md) new
#define ITO_REMOVED(old) ITO_COMPILE_ERROR(old is gone, see CHANGELOG.md)
#define ITO_COMPILE_ERROR(...) ITO_PRAGMA(GCC error #__VA_ARGS__)
#define ITO_PRAGMA(...) _Pragma(#__VA_ARGS__)

#endif
