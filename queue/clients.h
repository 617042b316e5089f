/* clients.h - those who give the intake messages over channels, and the manager who hears
 * of them */
#ifndef QUEUE_CLIENTS_H
#define QUEUE_CLIENTS_H

struct incoming;

/* a CHANNEL from run: smtpd and local (INJECT, high side) or queue (NEWS, low side) */
int clients_channel(const char *peer, int fd);

/* tells the manager of a committed message, with others of its group; what it cannot hear now
 * it finds by a scan */
void clients_news(const struct incoming *in);
/* at the end of each turn: what the manager is to know */
void clients_turn(void);
/* asked to end: program_done() follows when the manager has ended */
void clients_stop(void);

#endif
