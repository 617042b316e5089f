/* backend_users.h - table users: logins with what is kept of their passwords */
#ifndef SMTPD_BACKEND_USERS_H
#define SMTPD_BACKEND_USERS_H

#include "smtpd/password.h"

/* name of the record that makes up salts, in the file of the users */
#define USERS_DECOY_TABLE "decoy"
#define USERS_DECOY_KEY "salt"

/* a new file of users (conf/build.c); fd is closed. 0, or -1 with errno: the old one stays */
int backend_users_table(int fd);
/* whether it has this login, as sasl_login() makes it */
int backend_users_has(const char *login);
/* the keys of a login that is not there, or has none, look like those of any other. 0, or -1 */
int backend_users_keys(const char *login, struct password_scram *keys);

#endif
