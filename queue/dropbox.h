/* dropbox.h - queue/drop: messages that sendmail(8) left there, also while nothing ran */
#ifndef QUEUE_DROPBOX_H
#define QUEUE_DROPBOX_H

/* opens queue/drop and watches it. 0, or -1 with errno. */
int dropbox_open(int queue_fd);
/* takes what is there */
void dropbox_scan(void);

#endif
