/* show_content.h - `heloise queue show ID --headers --body`: the message as it is */
#ifndef QUEUE_SHOW_CONTENT_H
#define QUEUE_SHOW_CONTENT_H

#include "queue/sight.h"

/* prints the header with the empty line behind it, the body, or both
 * (PART_HEADERS, PART_BODY). The exit code. */
int show_content(const struct sight *s, unsigned int parts);

#endif
