/* show_transcript.h - `heloise queue show ID --transcript`: what was said in its attempts */
#ifndef QUEUE_SHOW_TRANSCRIPT_H
#define QUEUE_SHOW_TRANSCRIPT_H

#include "queue/inspect.h"

/* attempt: the one that is wanted; 0: all. Also of messages that have left the queue. The
 * exit code. */
int show_transcript(const struct inspect_view *v, int json, const char *id, unsigned int attempt);

#endif
