"""`python -m bench suite=NAME [GROUP=CHOICE] [KEY=VALUE] ...`."""

from bench.app import main

if __name__ == "__main__":
    main()
