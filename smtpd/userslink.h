/* userslink.h - our end of the USERS channel to heloise-auth
 *
 * heloise-auth is more trusted than we are: what it says against the protocol ends this
 * program. knows.h asks there about local users, login.h about clients. */
#ifndef SMTPD_USERSLINK_H
#define SMTPD_USERSLINK_H

#include "common/wire.h"

/* the channel's descriptor: the first or one that replaces it. 0, or -1 with errno. */
int userslink_channel(int fd);
/* 0; -1: nobody to send it to now */
int userslink_send(const struct wire_out *o);

#endif
