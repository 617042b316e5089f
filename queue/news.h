/* news.h - messages enter: what the intake tells, and what is found in the queue */
#ifndef QUEUE_NEWS_H
#define QUEUE_NEWS_H

#include "common/chan.h"

/* reads the names of all messages in the directories; what is in the journal is read when the
 * intake says so. Then, or when it does not for some seconds, whole() is called, once. */
void news_open(int queue_fd, void (*whole)(void));
/* a CHANNEL from run: intake (NEWS, high side) */
int news_channel(int fd);
struct chan *news_intake(void);
/* at the end of each turn: some of what stands in the way of the journal's next round becomes
 * files. Whether there is more of it. */
int news_turn(void);

#endif
