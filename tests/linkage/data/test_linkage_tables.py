"""CSV tables: what is read, and that errors name places and never content."""

import pytest

from linkage.errors import ColumnError, EncodingError, LinkageError, RowError, TableError
from linkage.readtable import read_table
from linkage.tables import FIELDS, Table, parse_mapping

SECRET = "Geheimrätin"


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "t.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_byte_order_marks_and_line_ends(write, delimiter, bom, end):
    rows = [["ID", "Nachname", "PLZ", "Diagnose"], ["1", "Müller", "01067", "x"], ["2", "Groß", "", "y"]]
    path = write(bom + end.join(delimiter.join(r) for r in rows) + end)
    table = read_table(path, id_column="ID")
    assert table.ids == ["1", "2"]
    assert table.columns == {"surname": ["Müller", "Groß"], "postcode": ["01067", ""]}


def test_quotations_hold_separators_and_line_breaks(write):
    table = read_table(write('id,street\n1,"Q7, 24"\n2,"a\nb"\n3,"say ""x"""\n'), id_column="id")
    assert table.columns["street"] == ["Q7, 24", "a\nb", 'say "x"']


def test_usual_names_are_recognised(write):
    german = "pid;Vorname;NACHNAME;Geburtsdatum;Geschlecht;Straße;Haus-Nr;PLZ;Ort\n" + ";".join("123456789") + "\n"
    assert list(read_table(write(german), id_column="pid").columns) == [f for f in FIELDS if f != "insured_number"]
    febrl = "rec_id,given_name,surname,street_number,address_1,suburb,postcode,state,date_of_birth\na,b,c,d,e,f,g,h,i\n"
    table = read_table(write(febrl), id_column="rec_id")
    assert {k: v[0] for k, v in table.columns.items()} == {
        "given_name": "b",
        "surname": "c",
        "house_number": "d",
        "street": "e",
        "town": "f",
        "postcode": "g",
        "birth_date": "i",
    }


def test_a_mapping_of_ones_own(write):
    mapping = parse_mapping(["surname=FAMNAME", "town=Wohnort=Ort"])
    assert mapping == {"surname": "FAMNAME", "town": "Wohnort=Ort"}
    table = read_table(write("id,FAMNAME,name,Wohnort=Ort\n1,a,b,c\n"), id_column="id", mapping=mapping)
    assert table.columns == {"surname": ["a"], "town": ["c"]}


@pytest.mark.parametrize("pairs", [["surname"], ["surname="], ["diagnosis=X"], ["surname=A", "surname=B"]])
def test_bad_mappings(pairs):
    with pytest.raises(ColumnError) as e:
        parse_mapping(pairs)
    assert e.value.where.startswith("mapping ")


BAD = {
    "not UTF-8": (("id,surname\n1,ok\n2," + SECRET + "\n").encode("latin-1"), EncodingError, "row 2"),
    "header not UTF-8": ("id,Straße\n".encode("latin-1"), EncodingError, "header"),
    "empty": ("", TableError, ""),
    "only blanks": (" \n\n", TableError, ""),
    "UTF-16": ("id,surname\n".encode("utf-16"), TableError, None),
    "null characters": ("id,surname\n1,\0\n", TableError, ""),
    "row too long": (f"id,surname\n1,a\n2,{SECRET},x\n", RowError, "row 2"),
    "row too short": (f"id,surname,town\n1,{SECRET}\n", RowError, "row 1"),
    "id twice": (f"id,surname\n7{SECRET},a\n8,b\n7{SECRET},c\n", RowError, "row 3"),
    "id empty": (f"id,surname\n1,a\n ,{SECRET}\n", RowError, "row 2"),
    "no id column": (f"{SECRET},surname\n1,a\n", ColumnError, "id"),
    "no known column": (f"id,{SECRET}\n1,a\n", ColumnError, ""),
    "two columns of one field": ("id,Nachname,surname\n1,a,b\n", ColumnError, "surname"),
    "id column twice": ("id,id,surname\n1,2,a\n", ColumnError, "id"),
    "open quotation": (f'id,surname\n1,"{SECRET}\n', TableError, None),
}


@pytest.mark.parametrize("why", sorted(BAD))
def test_refused_by_place_not_by_content(write, why):
    content, error, where = BAD[why]
    with pytest.raises(error) as e:
        read_table(write(content), id_column="id")
    if where is not None:
        assert e.value.where == where
    assert SECRET not in e.value.message + e.value.hint + e.value.where


def test_a_column_that_is_not_there_lists_our_fields_only(write):
    with pytest.raises(ColumnError) as e:
        read_table(write(f"id,{SECRET}\n1,a\n"), id_column="id", mapping={"surname": "NAME"})
    assert e.value.where == "surname"
    assert all(f in e.value.hint for f in FIELDS)
    assert "2 columns" in e.value.message


def test_no_file(tmp_path):
    with pytest.raises(TableError):
        read_table(tmp_path / "none.csv", id_column="id")


def test_a_given_delimiter_is_obeyed(write):
    path = write("id;a,b,c,surname\n")
    with pytest.raises(LinkageError):
        read_table(path, id_column="id", delimiter=":")
    assert len(read_table(write("id|surname\n1|a;b;c;d\n"), id_column="id", delimiter="|")) == 1


def test_table_refuses_columns_of_different_length():
    with pytest.raises(TableError):
        Table(["1"], {"town": []})
    assert "Geheim" not in repr(Table(["1"], {"town": ["Geheim"]}))
