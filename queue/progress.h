/* progress.h - how far a command has come: a bar on standard error, if that is a terminal
 *
 * It appears after two seconds and is gone at the end. */
#ifndef QUEUE_PROGRESS_H
#define QUEUE_PROGRESS_H

#include <stdint.h>

/* done of total (0: not known) */
void progress_show(uint64_t done, uint64_t total);
/* takes the bar away, before something else is printed there */
void progress_clear(void);

#endif
