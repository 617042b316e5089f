/* statedelay.h - replies that say when to come back
 *
 * Pure. "451 4.7.1 Greylisted, try again in 300 seconds": some servers that defer say for how
 * long. The text is for people and in no grammar, so only what can hardly mean anything else counts. */
#ifndef DELIVER_STATEDELAY_H
#define DELIVER_STATEDELAY_H

#include <stddef.h>
#include <stdint.h>

#define STATEDELAY_MOST 604800 /* seconds; who says more says nothing */

/* seconds until the text says we should try again, 1 to STATEDELAY_MOST; 0: it does not say */
uint64_t statedelay_find(const char *text, size_t len);

#endif
