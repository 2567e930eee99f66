package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// explainPostgres adds what to do to an error of opening the database at an
// address, of which it shows its Place.
func explainPostgres(at string, err error) error {
	reason, place := reasonPostgres(err), Place(at)
	cause := err
	var connecting *unconnected
	if errors.As(err, &connecting) {
		cause = connecting
	}
	switch reason {
	case nil, ErrUnsuitable, ErrReplaced, ErrDamaged:
		return fmt.Errorf("the database %s: %w", place, err)
	case ErrEmpty:
		return failure(reason, err, "see that "+place+" is the right one")
	case ErrUnfinished:
		return failure(reason, err, "run teahouse migrate-store again to finish "+place)
	case ErrInUse:
		return failure(reason, err, "stop all servers of "+place)
	case ErrNewer:
		return failure(reason, err, "run that version again, or give this one another database than "+place)
	case ErrForeign:
		return failure(reason, nil, "other tables are in "+place+
			", give Teahouse a database of its own, or a schema of its own with ?search_path=NAME")
	}
	return failure(reason, cause, whatToDo(reason, connecting, place))
}

// whatToDo is the advice about the reasons that PostgreSQL or the network has.
func whatToDo(reason error, connecting *unconnected, place string) string {
	switch reason {
	case ErrAddress:
		return "write postgres://USER:PASSWORD@HOST:5432/DATABASE, and in the user and the password %25 for %, %40 for @, %3A for :, %2F for / and %3F for ?"
	case ErrSetting:
		return "correct or remove what stands after the ? of the address of " + place
	case ErrRefused:
		return "correct the user or the password for " + place + ", or let the user in by the server's pg_hba.conf"
	case ErrNoDatabase:
		return "correct the name in " + place + ", or make it with: createdb --template=template0 --encoding=UTF8 NAME"
	case ErrUnwritable:
		return "make the user the owner of the database of " + place + ", or let it make tables in a schema that exists"
	case ErrFull:
		return fmt.Sprintf("end what else uses %s, or raise max_connections in postgresql.conf, or the CONNECTION LIMIT of the user or the database: a server takes up to %d",
			place, postgresReaders+1)
	case ErrTLS:
		if connecting != nil && connecting.causes[0].why == noTLS {
			return "set ssl = on in the postgresql.conf of " + place + ", or take sslmode out of the address where nobody on the way can listen"
		}
		return "name the authority of its certificate with ?sslrootcert=FILE, and the host as the certificate of " + place + " names it"
	case ErrFiles:
		return moreFiles
	}
	return "see that it runs at " + place + ", takes connections and is no standby"
}

// reasonPostgres names the reason of an error of opening a database, nil when it
// is none that is known.
func reasonPostgres(err error) error {
	for _, known := range []error{ErrAddress, ErrNewer, ErrForeign, ErrUnsuitable, ErrReplaced, ErrDamaged, ErrEmpty, ErrUnfinished, ErrInUse} {
		if errors.Is(err, known) {
			return known
		}
	}
	var connecting *unconnected
	unmade := errors.As(err, &connecting)
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return reasonOfServer(e.Code, unmade)
	}
	switch {
	case noMoreFiles(err):
		return ErrFiles
	case unmade && connecting.needsTLS():
		return ErrTLS
	case unmade || errors.Is(err, context.DeadlineExceeded):
		return ErrUnreachable
	}
	return nil
}

// reasonOfServer names the reason of what a server said, by its code; connecting
// is whether it said so to somebody who connects.
func reasonOfServer(code string, connecting bool) error {
	switch code {
	case "28P01", "28000": // invalid_password, invalid_authorization_specification
		return ErrRefused
	case "3D000": // invalid_catalog_name
		return ErrNoDatabase
	case "42501", "3F000", "25006": // insufficient_privilege, invalid_schema_name, read_only_sql_transaction
		return ErrUnwritable
	case "53300": // too_many_connections
		return ErrFull
	case "57P01", "57P02", "57P03": // three of a server that stops or starts
		return ErrUnreachable
	case "42704", "22023": // undefined_object, invalid_parameter_value: the address sets what is not there
		if connecting {
			return ErrSetting
		}
	}
	return nil
}
