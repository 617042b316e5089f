/* localspawn.h - the spawner of local deliveries: what the manager asks, and children */
#ifndef DELIVER_LOCALSPAWN_H
#define DELIVER_LOCALSPAWN_H

/* SIGCHLD into the loop: 0, or -1 with errno */
int localspawn_start(void);
/* the instance's mail directory; the descriptor is taken */
void localspawn_mail(int fd);
/* the manager's channel; what an earlier one had asked for is given up. 0, or -1. */
int localspawn_manager(int fd);
/* no more jobs; ends the program when the last one has ended, or after `ms` */
void localspawn_stop(unsigned int ms);

#endif
