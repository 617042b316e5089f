/* trust.h - which context answers: the one that validates, or, where that cannot work, none */
#ifndef RESOLVE_TRUST_H
#define RESOLVE_TRUST_H

/* makes contexts for these name servers and tells askers_use() which is in force, at once
 * or soon; until then the one before stays. anchor: NULL does not validate. To be called
 * after the program confined itself: it starts a thread. 0, or -1 with *why. */
int trust_begin(const char *servers, const char *anchor, const char **why);

#endif
