/* halfline.h - files of lines that are appended to: what a kill or a full disk left of one */
#ifndef QUEUE_HALFLINE_H
#define QUEUE_HALFLINE_H

#include <sys/types.h>

/* ends the line that is cut off at `end`, the file's, if there is one: what follows begins on a line
 * of its own. The new end, or -1 with errno */
off_t halfline_end(int fd, off_t end);

#endif
