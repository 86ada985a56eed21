-- The next account number: eight digits that don't follow one another, and two that give away a slip of the finger
-- (the whole number divided by 97 leaves 1). Accounts are never deleted, so their count is a number not yet used.

-- name: next_number :with
select cast(base * 100 + 98 - base * 100 % 97 as text) as number
from (select 40000000 + (count(*) + 1) * 7368787 % 10000019 as base from accounts) counted;
