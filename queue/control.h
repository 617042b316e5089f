/* control.h - run/control: the queue commands talk to the manager */
#ifndef QUEUE_CONTROL_H
#define QUEUE_CONTROL_H

/* takes the listening socket and serves it; call in start() */
int control_listen(int fd, int queue_fd);

#endif
